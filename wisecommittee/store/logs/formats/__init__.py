"""The formats of logs, one file each; LOG_FORMATS lists them in the order in which they are tried on a path."""

from __future__ import annotations

from wisecommittee.store.logs.formats.answers import ANSWERS
from wisecommittee.store.logs.formats.every_eval_ever import EVERY_EVAL_EVER
from wisecommittee.store.logs.formats.huggingface import HUGGINGFACE
from wisecommittee.store.logs.formats.inspect import INSPECT
from wisecommittee.store.logs.formats.llmrouterbench import LLMROUTERBENCH
from wisecommittee.store.logs.formats.lm_eval import LM_EVAL
from wisecommittee.store.logs.formats.probabilities import PROBABILITIES
from wisecommittee.store.logs.formats.proxy_oracle import PROXY_ORACLE
from wisecommittee.store.logs.formats.routerbench import ROUTERBENCH
from wisecommittee.store.logs.formats.tabarena import TABARENA
from wisecommittee.store.logs.records import LogFormat

LOG_FORMATS: dict[str, LogFormat] = {
    known.name: known
    for known in (
        *(LM_EVAL, EVERY_EVAL_EVER, INSPECT),
        *(ROUTERBENCH, LLMROUTERBENCH, PROXY_ORACLE, PROBABILITIES, TABARENA, ANSWERS, HUGGINGFACE),
    )
}
