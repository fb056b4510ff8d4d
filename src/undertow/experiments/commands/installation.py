"""Commands about this installation: doctor."""

from undertow.experiments import doctor
from undertow.experiments.commands.asked import Common


def run_doctor(_: Common) -> dict[str, str]:
    """Facts about this installation."""
    return doctor.examine()
