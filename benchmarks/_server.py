"""`unveil web` in a process of its own, on a free port, on the processor. Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx


class Server:
    """The server, what it has used, and a client for it."""

    def __init__(self, options: Sequence[str], environment: dict[str, str], log: Any = None) -> None:
        """Start it.

        Args:
            options: Of the command, beside port and device.
            environment: Variables, beside this process's.
            log: File for its standard error; None for this process's.

        """
        command = [sys.executable, "-m", "unveil.cli", "web", "--port", "0", "--device", "cpu", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | environment
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[3]
        self.client = httpx.Client(base_url=self.address, timeout=300)

    @property
    def processor(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Ask it to end, and wait. Returns its exit status."""
        self.client.close()
        self.process.terminate()
        return self.process.wait(60)
