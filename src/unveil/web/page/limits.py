"""Which methods can finish within the time that a restoration may take here, estimated before one is begun."""

from __future__ import annotations

import threading

from unveil.errors import InputError, UnveilError
from unveil.util.words import duration
from unveil.web.page import words
from unveil.web.service import Given, Service
from unveil.web.work import Order

TRIAL = 128
"""Side of the picture that a method's time is estimated on; beyond, it grows with the pixels."""


class Limits:
    """How long each zero-shot method takes here, tried once for each. Thread-safe."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._per_pixel: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def seconds(self, engine: str, pixels: int, preset: str = "") -> float:
        """Estimated seconds of one draw; 0 for trained models, which take seconds, and where it is not known."""
        with self._lock:
            if (engine, preset) not in self._per_pixel:
                self._per_pixel[engine, preset] = self._tried(engine, preset)
            return self._per_pixel[engine, preset] * pixels

    def check(self, given: Given, order: Order) -> None:
        """Raise InputError where the settings that were chosen for a method take longer than is allowed here."""
        seconds = self.seconds(order.engine, given.width * given.height, order.preset) * order.options.samples
        if seconds > self.service.settings.seconds:
            how = f" with the settings {order.preset}" if order.preset else ""
            raise InputError(
                f"{given.name}: {order.engine}{how} would take about {duration(seconds)}; the limit here is "
                f"{duration(self.service.settings.seconds)}. Choose other settings, or a smaller photograph"
            )

    def _tried(self, engine: str, preset: str) -> float:
        try:
            restorer = self.service.restorers.get(engine, self.service.devices[0], preset)
            estimate = getattr(restorer, "estimate", None)
            return 0.0 if estimate is None else estimate(TRIAL, TRIAL).seconds / TRIAL**2
        except UnveilError:
            return 0.0  # what is wrong with it is said when somebody asks for it

    def refused(self, given: Given) -> dict[str, float]:
        """The engines that would take longer than is allowed for this photograph, with their seconds."""
        took = {name: self.seconds(name, given.width * given.height) for name in self.service.restorers.known}
        return {name: seconds for name, seconds in took.items() if seconds > self.service.settings.seconds}

    def reason(self, refused: dict[str, float]) -> str:
        """HTML that says what is not offered, and why; empty where everything is."""
        if not refused:
            return ""
        named = ", ".join(f"{name} (about {duration(seconds)})" for name, seconds in refused.items())
        limit = duration(self.service.settings.seconds)
        return words.model(f"Not offered for a photograph of this size: {named}. The limit here is {limit}.", "")
