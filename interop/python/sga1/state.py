"""The durable state of a device (docs/protocol.md sections 3 to 7: what is stored before it is used): one JSON file."""
from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any


class State:
    """A dictionary of JSON values, byte strings as hex, written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = open(f"{path}.lock", "w", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(f"{path} is in use by another process") from None
        self.data: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.data[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default."""
        return self.data.get(name, default)

    def bytes(self, name: str) -> bytes:
        """A byte string."""
        return bytes.fromhex(self.data[name])

    def write(self) -> None:
        """Replace the file: on return the state is durable."""
        new = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
