"""What a person looks at: interactive figures, figures for papers, plain-word findings, and one HTML page
with all of them.

This room imports only `vocabulary` and `evaluation`, and is the only door to Plotly, Jinja2 and Matplotlib.
It computes nothing that is a result: it draws trials, estimates, scores and histories that others made. Begin
reading at `write` in `page.py`; what a figure shows of large data is decided in `excerpt.py`, what is
suspicious in `findings.py`.

    from undertow.report import figures, page, paper

    page.write("report.html", trials=trials, estimate=estimate, yardstick=None, scores=scores,
               history=history, recipe=recipe, provenance=provenance)
    figures.factors_figure(trials, estimate).show()               # Plotly, in a notebook
    paper.factors_figure(trials, estimate).savefig("factors.pdf")  # Matplotlib, same name
"""
