"""Find the files that `--data` names, and recognise those that hold tables; the content decides, not the name."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from harness.datasets.compressed import MAGIC_BYTES, CompressedFile
from harness.datasets.foreign import is_foreign_text
from harness.datasets.tables.spec import TableForm
from harness.datasets.text import is_any_text, text_pieces
from training.errors import InputError

SEPARATORS = ",;\t|"
_TABLE_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".parquet": "parquet", ".npy": "npy", ".npz": "npz"}
_COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst", ".lzma", ".zip")
# A label and a first feature, with nothing but white space after it: no value of a table looks like it.
_LIBSVM_LINE = re.compile(r"\s*[-+\d.,eE]+(\s+qid:\S+)?(\s+\d+:[-+.\deEnainf]+)+\s*(#.*)?$", re.IGNORECASE)
_COMMENT = re.compile(r"\s*(#.*)?$")
_PARQUET, _NPY = b"PAR1", b"\x93NUMPY"
_SNIFF_LINES, _SNIFF_BYTES = 5, 64 << 10


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name, in lower case, without that of a compression."""
    path = Path(name.lower())
    while path.suffix in _COMPRESSIONS:
        path = path.with_suffix("")
    return path.suffix


def is_table_name(name: str) -> bool:
    """Return whether a file's name says that it holds a table."""
    return suffix_of(name) in _TABLE_SUFFIXES


def find_files(text: str, forms: str) -> list[Path]:
    """Return the files that a value of `--data` names: a file, a folder, a glob, or several of them with commas.

    Args:
        text: The value.
        forms: The forms of data, for the error.

    Raises:
        InputError: There is no such file, or a folder holds no tables.
    """
    if os.path.exists(text):  # noqa: PTH110 - pathlib raises for a name that is too long
        return _in_folder(Path(text)) if os.path.isdir(text) else [Path(text)]  # noqa: PTH112
    found: list[Path] = []
    for part in text.split(","):
        if os.path.exists(part):  # noqa: PTH110
            found += _in_folder(Path(part)) if os.path.isdir(part) else [Path(part)]  # noqa: PTH112
        elif matches := [name for name in sorted(glob.glob(part, recursive=True)) if os.path.isfile(name)]:  # noqa: PTH207, PTH113
            found += map(Path, matches)
        else:
            missing = f": {part}" if part != text else ""
            raise InputError(f"data `{text}`: no such file{missing}; the forms are {forms}")
    twice = next((path for path in found if found.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"data `{text}`: names {twice} twice; its rows would count twice")
    return found


def hugging_face_files(text: str, name: str) -> list[Path]:
    """Return the files of a data set that the Hugging Face library has stored on disk; nothing is downloaded.

    Args:
        text: The value of `--data`, for errors.
        name: The set's name, OWNER/NAME.

    Raises:
        InputError: The set is not on disk, or has no tables.
    """
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = hub / f"datasets--{name.replace('/', '--')}" / "snapshots"
    newest = max(snapshots.glob("*"), key=lambda path: path.stat().st_mtime, default=None)
    if not name or newest is None:
        raise InputError(
            f"data `{text}`: there is no such data set in {hub}, and nothing is downloaded\n"
            f"download it with `hf download --repo-type dataset {name or 'OWNER/NAME'}`, or name its files"
        )
    found = [path for path in sorted(newest.rglob("*")) if path.is_file() and is_table_name(path.name)]
    training = [path for path in found if "train" in str(path.relative_to(newest)).lower()]
    if not found:
        raise InputError(f"data `{text}`: {newest} holds no CSV, TSV, Parquet or NumPy files")
    return training or found


def _in_folder(folder: Path) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if is_table_name(path.name)
        and path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise InputError(f"data `{folder}`: is a folder without CSV, TSV, Parquet or NumPy files")
    parted = next((path for path in found if "=" in str(path.parent.relative_to(folder))), None)
    if parted is not None:
        raise InputError(
            f"data `{folder}`: the folder `{parted.parent.relative_to(folder)}` holds a column's value in its name\n"
            "write the rows with this column into the files, or name the files of one such folder"
        )
    return found


def form_of(path: Path) -> TableForm | None:
    """Return the form of a table; None for a file that holds none, such as LIBSVM text.

    Raises:
        InputError: The file cannot be read.
    """
    with CompressedFile(path) as file:
        if file.is_npz():
            return "npz"
        start = next(file.pieces(), b"")
        compressed = file.compression != "none"
    for magic, form in ((_PARQUET, "parquet"), (_NPY, "npy")):
        if start.startswith(magic):
            if compressed:
                raise InputError(f"{path}: is a compressed {form} file\ndecompress it first")
            return form  # type: ignore[return-value]
    if start.startswith(tuple(MAGIC_BYTES)) or not is_any_text(start):
        return None
    with CompressedFile(path) as file:
        return "csv" if _is_table(file, suffix_of(path.name)) else None


def one_form(paths: Sequence[Path], text: str) -> TableForm | None:
    """Return the form of several files.

    Raises:
        InputError: They have different forms, or only some of them hold tables.
    """
    forms = [form_of(path) for path in paths]
    if len(set(forms)) > 1:
        other = next(at for at, form in enumerate(forms) if form != forms[0])
        first, second = (str(form or "no table") for form in (forms[0], forms[other]))
        raise InputError(f"data `{text}`: {paths[0]} is {first} and {paths[other]} is {second}\nname files of one form")
    if forms[0] is None and len(paths) > 1:
        raise InputError(
            f"data `{text}`: several files are for tables alone (CSV, TSV, Parquet, NumPy); {paths[0]} is none"
        )
    return forms[0]


def _is_table(file: CompressedFile, suffix: str) -> bool:
    start = next(text_pieces(file, tables=True), b"")
    if is_foreign_text(start):
        return False
    lines = start[:_SNIFF_BYTES].decode(errors="replace").splitlines()[:1000]
    if lines and len(start) > _SNIFF_BYTES:
        lines[-1] = lines[-1].rpartition(" ")[0] or lines[-1].rpartition("\t")[0] or lines[-1]
    first = [line for line in lines if not _COMMENT.match(line)][:_SNIFF_LINES]
    if first and all(map(_LIBSVM_LINE.match, first)):
        return False
    if _TABLE_SUFFIXES.get(suffix) == "csv":
        return True
    return bool(first) and any(separator in first[0] for separator in SEPARATORS) and not _LIBSVM_LINE.match(first[-1])
