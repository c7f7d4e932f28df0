"""Logs -> temporary files, as the formats read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.metering import metered
from wisecommittee.store.logs.records import LogOptions
from wisecommittee.store.logs.spec import LogSpec
from wisecommittee.store.logs.spill import Spill
from wisecommittee.tasks.text import form_of_answers

Progress = Callable[[str, int, int | None], None]  # (task, done, in total or None)


def read_logs(spill: Spill, specs: Sequence[LogSpec], options: LogOptions, progress: Progress) -> bool:
    """Read all logs into temporary files. Returns whether answers are in free form."""
    records, free_forms = 0, set()
    for spec in specs:
        free_form, before = spec.format.free_text or options.free_form, records
        free_forms.add(free_form)
        form = form_of_answers(free_form=free_form, ignore_case=options.ignore_case)
        with metered() as meter:
            for block in spec.format.read(spec.path, options):
                spill.add(block, form)
                records += len(block)
                if meter.total:
                    progress(f"KB of {spec.path.name}", meter.done >> 10, meter.total >> 10)
                else:
                    progress("records", records, None)
        if records == before:
            raise ContentError(f"{spec}: no records; expected one at least; name another log")
    spill.close()
    return True in free_forms
