"""Facts about the model being served, for the endpoint's responses."""

from dataclasses import asdict

from raygenre.evaluation.model_card import markdown_card
from serve.schema import ModelFacts, TrainedOn
from serve.service import Service
from serve.tag_schema import TagFacts


def model_facts(service: Service) -> ModelFacts | TagFacts:
    """Describe the champion, or the pretrained network while there is no champion."""
    pretrained = service.tagger.facts if service.tagger else None
    if pretrained and not service.models.has_champion:
        return TagFacts(
            reason=service.models.errors["model"],
            pretrained=pretrained,
            most_bytes=service.limits.body_bytes,
            most_seconds=service.limits.audio_seconds,
        )
    champion, challenger = service.models.champion, service.models.challenger
    classifier, facts = champion.fetched.classifier, champion.fetched.facts
    return ModelFacts(
        model=champion.name,
        genres=list(classifier.genres),
        input=classifier.input.name,
        takes_images=classifier.input.takes_images,
        test_accuracy=facts.test_accuracy if facts else None,
        synthetic=champion.trained_on.is_synthetic,
        trained_on=TrainedOn(**asdict(champion.trained_on)),
        threshold=classifier.calibration.threshold,
        sha256=classifier.sha256,
        card=markdown_card(classifier, name=champion.fetched.name, facts=facts),
        challenger=challenger.name if challenger else None,
        pretrained=pretrained,
        most_bytes=service.limits.body_bytes,
        most_seconds=service.limits.audio_seconds,
    )
