"""What `export` has done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Exported:
    """A folder that has been written.

    Parameters
    ----------
    folder : Path
    target : str
    files : tuple of str
        The graphs.
    units : int
        Golden units, which the files decide as the deployed committee does.
    source : str
        Where the golden units come from.
    checked : tuple of str
        How the files have been run: 'stages', 'cascade', 'members'.
    notes : tuple of str
        What could not be written.
    """

    folder: Path
    target: str
    files: tuple[str, ...]
    units: int
    source: str
    checked: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "target": self.target,
            "files": list(self.files),
            "units": self.units,
            "source": self.source,
            "checked": list(self.checked),
            "notes": list(self.notes),
        }
