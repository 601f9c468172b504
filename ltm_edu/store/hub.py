"""Weights from the hub that timm knows, downloaded within a time."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

DOWNLOAD_SECONDS = 3600.0
"""A download of weights that takes longer is given up; what arrived stays for the next try."""


def fill_hub_cache(repository: str) -> None:
    """Download weights to where timm looks for them, if they are not there.

    The hub's client waits long for a server that is not there, and without end for one that sends
    a byte from time to time. So the server is called first, unless a proxy stands between.

    Raises:
        Exception: whatever the client raises; OSError where the server cannot be reached or the
            download takes longer than `DOWNLOAD_SECONDS`.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    names = ("model.safetensors", "pytorch_model.bin")
    cached = (try_to_load_from_cache(repository, name) for name in names)
    if constants.is_offline_mode() or any(isinstance(path, str) for path in cached):
        return
    url = urlsplit(constants.ENDPOINT)
    port = url.port or (443 if url.scheme == "https" else 80)
    if not {url.scheme, "all"} & getproxies().keys() or proxy_bypass(url.hostname):
        socket.create_connection((url.hostname, port), timeout=10).close()
    failed: list[Exception] = []

    def download() -> None:
        try:
            try:
                hf_hub_download(repository, names[0])
            except EntryNotFoundError:
                hf_hub_download(repository, names[1])
        except Exception as error:  # goes on in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    thread.join(DOWNLOAD_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"not complete after {DOWNLOAD_SECONDS:,.0f} seconds")
    if failed:
        raise failed[0]
