"""Fits on disk: written whole or not at all, and read without running anything that stands in the file."""

import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bayesgmm.exceptions import StorageError
from bayesgmm.record.trees import tree_of

if TYPE_CHECKING:
    import xarray as xr


def check_writable(path: str | os.PathLike) -> None:
    """Find out before a long computation whether its result can be written; raises StorageError if not."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part"):
            pass
    except OSError as error:
        raise StorageError(
            f"nothing can be written at {str(path)!r} ({error.strerror or error}): choose another."
        ) from error
    if path.is_dir():
        raise StorageError(f"{str(path)!r} is a folder: name a file in it.")


def save(dt: "xr.DataTree", path: str | os.PathLike) -> Path:
    """Write a tree to a netCDF file, whole or not at all.

    The file is written under another name beside ``path`` and then takes its place. A full disk, an error or the end
    of the process leave what stood at ``path`` as it was.

    Parameters
    ----------
    dt : xr.DataTree or GaussianMixture
        Of a fitted estimator, its ``inference_data_``.
    path : str or path
        Such as "fit.nc". Folders on the way are made.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    StorageError
        The file cannot be written there.
    ModelError
        ``dt`` holds no draws.

    Examples
    --------
    >>> import bayesgmm as bg, tempfile
    >>> estimate = bg.find_MAP(bg.build_model(bg.datasets.load_faithful(), 2), random_seed=1)
    >>> path = bg.save(estimate.laplace(100, random_seed=1), tempfile.mkdtemp() + "/fit.nc")
    >>> bg.load(path)["posterior"].sizes["draw"]
    100
    """
    dt = tree_of(dt)
    # Made in memory first: where a disk is full, HDF5 does not raise an error but crashes.
    content = io.BytesIO()
    dt.to_netcdf(content, engine="h5netcdf")
    with content.getbuffer() as view:
        return write_whole(view, path)


def write_whole(content: bytes | memoryview, path: str | os.PathLike) -> Path:
    """Write a file under another name beside ``path``, which then takes its place; raises StorageError."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is its owner's alone; a saved one has the permissions of any new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"{str(path)!r} could not be written ({error.strerror or error}): what stood there is as it was. "
            "Free some space, or save it elsewhere."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def load(path: str | os.PathLike) -> "xr.DataTree":
    """Read a tree that :func:`save` wrote, wholly into memory.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    xr.DataTree

    Raises
    ------
    StorageError
        There is no such file, or it is not a netCDF file.
    """
    import xarray as xr

    if not Path(path).is_file():
        raise StorageError(f"there is no file {str(path)!r}.")
    try:
        with xr.open_datatree(Path(path), engine="h5netcdf") as dt:
            return dt.load()
    except (OSError, ValueError) as error:
        raise StorageError(f"{str(path)!r} cannot be read as a saved fit: {error}.") from error
