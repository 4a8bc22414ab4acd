"""The check lists all settings even though it imports neither the endpoint nor raygenre."""

import re

from k8s.check import availability, settings
from k8s.check.rendering import ROOT
from serve.admission.limits import FEATURES_SPEED, Limits, LimitSettings
from serve.settings import PREFIX, Settings


def test_the_check_knows_the_settings_of_the_endpoint() -> None:
    assert {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} <= settings.known()


def test_the_check_knows_the_variables_that_the_code_reads() -> None:
    sources = [*(ROOT / "raygenre").rglob("*.py"), *(ROOT / "serve").rglob("*.py"), ROOT / "k8s" / "begin_or_resume.sh"]
    read = {found for path in sources for found in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", path.read_text())}
    assert set(settings.OTHERS) <= read <= settings.known()
    assert {"STUDY_URL", "CPUS_PER_TRIAL", "GPUS_PER_TRIAL", "ADDRESS"} <= settings.known()


def test_the_time_limits_of_the_check_are_those_of_the_endpoint() -> None:
    limits = Limits.of(LimitSettings.model_construct())
    assert limits.upload_seconds == availability.UPLOAD_SECONDS
    assert limits.answer_seconds(limits.audio_seconds, speed=FEATURES_SPEED) == availability.LONGEST_ANSWER
