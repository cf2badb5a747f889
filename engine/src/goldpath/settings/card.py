"""What only people know about the model."""

from typing import ClassVar

from pydantic import Field

from goldpath.settings.section import Section


class CardSettings(Section):
    """What only people know about the model; it goes into each version's model card."""

    config_file: ClassVar[str] = "model_card.yaml"

    intended_use: str = ""
    out_of_scope: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    license: str = Field(default="other", description="an identifier of Hugging Face, such as mit")
    languages: tuple[str, ...] = ("en",)
    tags: tuple[str, ...] = ()
