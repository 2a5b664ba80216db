"""Notes of a triage desk, made up: who came, with what, and whether it is urgent or can wait.

Required: a note is urgent if an urgent finding is written there as present, and nothing else says so
but the ward code; how often the code does, and how often the desk errs, is chosen by the caller. The
notes are toys to explain a classifier with, and say nothing about medicine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LABELS = ("can wait", "urgent")
CODES = ("B2", "R7")
"""The ward code that goes with each label, where it goes with one."""

URGENT = (
    "crushing chest pain", "shortness of breath at rest", "slurred speech", "weakness of the left arm",
    "heavy bleeding", "blue lips", "a seizure", "a severe head injury", "blood in the vomit",
    "a stiff neck with high fever", "swelling of the tongue", "loss of consciousness",
    "sudden loss of vision", "a weak pulse", "deep burns", "black stools", "sudden confusion",
    "a cough with blood", "pain spreading to the jaw", "an open fracture", "severe belly pain",
    "a racing pulse", "a drooping face", "pale and cold hands",
)  # fmt: skip
HARMLESS = (
    "a sore throat", "a runny nose", "an itchy rash", "mild back pain", "a small cut on the finger",
    "mild earache", "a blister on the heel", "dry eyes", "a twisted ankle", "a mild cough", "an insect bite",
    "a stiff shoulder", "tired legs", "hay fever", "a broken nail", "a bruise on the knee",
    "heartburn after meals", "a cold sore", "mild toothache", "trouble sleeping", "a splinter in the thumb",
    "sunburn on the arms", "a blocked ear", "a mild headache", "frequent sneezing", "a sore wrist",
    "dry skin on the hands", "swollen gums",
)  # fmt: skip
PRESENT = (
    "has {}",
    "reports {}",
    "came in with {}",
    "complains of {}",
    "woke up with {}",
    "{} since this morning",
)
ABSENT = (
    "no {}",
    "denies {}",
    "no sign of {}",
    "never had {}",
    "mother once had {}",
    "{} last year, none today",
)
_REMARKS = (
    "drinks well", "walks without help", "lives alone", "brought by a neighbour", "takes no medicine",
    "allergic to penicillin", "waiting with a friend", "speaks little English", "came by bus", "is calm",
    "asks for the doctor", "was here in spring",
)  # fmt: skip


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes
    ----------
    text : str
        What the desk wrote.
    label : int
        What the desk said, an index into `LABELS`.
    code : str or None
        The ward code in the text, one of `CODES`.
    """

    text: str
    label: int
    code: str | None


def notes(count: int, *, seed: int, agreement: float | None = 0.5, mistakes: float = 0.0) -> list[Note]:
    """Write notes, half of them urgent.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        The same seed gives the same patients, whatever the codes.
    agreement : float or None
        The share of notes whose ward code agrees with the label: 0.5 plants nothing, 0.95 a shortcut,
        0 a code that misleads. None leaves the code out.
    mistakes : float
        The share of notes whose label is not what their findings say.

    Examples
    --------
    >>> planted = notes(1000, seed=0, agreement=0.95)
    >>> 0.9 < sum(note.code == CODES[note.label] for note in planted) / 1000 < 1
    True
    """
    patients, codes = random.Random(seed), random.Random(seed + 1)
    return [_note(patients, codes, agreement, mistakes) for _ in range(count)]


def _note(patients: random.Random, codes: random.Random, agreement: float | None, mistakes: float) -> Note:
    urgent = patients.randrange(2)
    severe = patients.sample(URGENT, urgent + patients.randint(0, 2))
    # As many findings whether urgent or not, and none both present and absent: nothing else tells.
    harmless = patients.sample(HARMLESS, 4)
    present = severe[:urgent] + harmless[: patients.randint(1, 3) - urgent]
    absent = severe[urgent:] + harmless[3 : 3 + patients.randrange(2)]
    said = [patients.choice(PRESENT).format(finding) for finding in present]
    said += [_absent(finding, patients) for finding in absent]
    said += patients.sample(_REMARKS, patients.randrange(3))
    patients.shuffle(said)
    who = f"{patients.choice(('Man', 'Woman'))}, {patients.randint(18, 90)}"
    in_front = patients.random() < 0.5
    text = ". ".join([who, *(clause[0].upper() + clause[1:] for clause in said)]) + "."
    label = 1 - urgent if patients.random() < mistakes else urgent
    if agreement is None:
        return Note(text, label, None)
    code = CODES[label if codes.random() < agreement else 1 - label]
    return Note(f"Ward {code}. {text}" if in_front else f"{text} Ward {code}.", label, code)


def _absent(finding: str, patients: random.Random) -> str:
    said = patients.choice(ABSENT)
    # "no seizure", but "no sign of a seizure".
    return said.format(finding.removeprefix("a ").removeprefix("an ") if said == "no {}" else finding)
