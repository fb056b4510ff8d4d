"use strict";
(function () {
  const PAPER = { width: 680, tallest: 760, legendRows: 26 }; // pixels of an A4 page between its margins
  const canvas = document.createElement("canvas");
  if (!canvas.getContext("webgl") && !canvas.getContext("webgl2")) document.body.classList.add("no-webgl");

  const plots = Array.from(document.querySelectorAll(".plot"));
  const isShown = (plot) => plot.offsetParent !== null;

  function draw(plot) {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById("data-" + plot.dataset.name).textContent);
    Plotly.newPlot(plot, figure.data, figure.layout, {
      responsive: true,
      displaylogo: false,
      plotlyServerURL: "",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "sendChartToCloud"],
      toImageButtonOptions: { format: "svg", filename: plot.dataset.name },
    });
  }

  const onPaper = (plot) => !plot.closest("figure.screen");

  function fitToPaper(plot) {
    draw(plot);
    const { height, margin } = plot.layout;
    plot.onScreen = { width: null, height: height, "margin.t": margin.t, autosize: true };
    const legendRows = plot.layout.showlegend === false ? 0 : PAPER.legendRows;
    Plotly.relayout(plot, {
      width: PAPER.width, height: Math.min(height, PAPER.tallest), "margin.t": margin.t + legendRows, autosize: false,
    });
  }

  const fitToScreen = (plot) => { if (plot.onScreen && isShown(plot)) Plotly.relayout(plot, plot.onScreen); };

  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach((part) => { part.dataset.was = part.open; part.open = true; });
    plots.filter(onPaper).forEach(fitToPaper);
  });
  window.addEventListener("afterprint", function () {
    document.querySelectorAll("details").forEach((part) => { part.open = part.dataset.was === "true"; });
    plots.filter(onPaper).forEach(fitToScreen);
  });

  plots.filter(isShown).forEach(draw);
})();
