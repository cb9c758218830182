"""Free memory, and the refusal of a picture that does not fit into it, before it is decoded.

A few kilobytes of a file may say that they are a picture of gigabytes.
"""

READ_LESS = "read a part of it, or a coarser level"
"""What would do for a picture that is read where it is sliced."""


def free_bytes() -> int:
    """Memory that is free now, and that the process may take by its limit of addresses (``ulimit -v``)."""
    import psutil

    free = int(psutil.virtual_memory().available)
    process = psutil.Process()
    if not hasattr(process, "rlimit"):  # Linux has them
        return free
    limit, _ = process.rlimit(psutil.RLIMIT_AS)
    return free if limit == psutil.RLIM_INFINITY else max(0, min(free, limit - process.memory_info().vms))


def memory_text(size_bytes: float) -> str:
    """Return a size of memory in words.

    >>> memory_text(250e6), memory_text(2.5e9)
    ('250 MB', '2.5 GB')
    """
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{max(1, round(size_bytes / 1e6))} MB"


def check_fits(needed_bytes: int, remedy: str) -> None:
    """Refuse a picture that needs more memory than is free.

    Parameters
    ----------
    needed_bytes : int
        Memory at the peak of its decoding, its pixels included.
    remedy : str
        What would do, as the end of a sentence.

    Raises
    ------
    MemoryError
        Beginning with "it", for `damage.naming_damage` to name the file.
    """
    free = free_bytes()
    if needed_bytes > free:
        raise MemoryError(
            f"it needs {memory_text(needed_bytes)} of memory, and {memory_text(free)} are free; {remedy}"
        )
