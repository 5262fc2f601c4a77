"""What happened while image files were read, in sentences for the user."""

from __future__ import annotations

from dataclasses import dataclass, field

from delt_plugins.datasets.levels import FULL, Levels


@dataclass
class ReadingReport:
    """What happened while image files were read: modes converted, bad files skipped, images brought to another size."""

    converted: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    resized: int = 0
    levels: Levels = field(default_factory=Levels)
    """Which value is white where values have more than 8 bits."""
    upright: bool = False
    """Whether images are turned as their EXIF orientation says."""
    turned: int = 0
    """How many were."""

    def notes(self) -> tuple[str, ...]:
        lines = []
        if self.converted:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.converted.items()))
            deep = any(kind.startswith("16-bit") for kind in self.converted)
            value = self.levels.white or (FULL if deep else 0)
            white = f"; {value:g} is white" if value else ""
            lines.append(f"converted to RGB: {kinds}{white}")
        if self.turned:
            lines.append(
                f"turned {self.turned} image{'s' * (self.turned > 1)} upright, as their EXIF orientation says "
                "(dataset.upright=false: as stored, as torchvision has them)"
            )
        if self.skipped:
            shown = ", ".join(self.skipped[:3]) + (", …" if len(self.skipped) > 3 else "")
            lines.append(f"skipped {len(self.skipped)} bad images: {shown}")
        return tuple(lines)
