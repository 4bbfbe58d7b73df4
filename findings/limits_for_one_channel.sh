#!/bin/sh
# Guess: a number beside a colour picture counts for each of its channels, in cv2.min and cv2.max as in cv2.add.
. "$(dirname "$0")/_room.sh"
room opencv-python-headless==5.0.0.93 numpy==2.4.6
look <<'PY'
import cv2
import numpy as np

picture = np.full((8, 8, 3), 100, np.uint8)
print(f"OpenCV {cv2.__version__}: a picture of (100, 100, 100) and a number")
guesses = {
    "add(picture, 10)": (110, 110, 110),
    "subtract(picture, 10)": (90, 90, 90),
    "multiply(picture, 1.5)": (150, 150, 150),
    "max(picture, 120)": (120, 120, 120),
    "min(picture, 255)": (100, 100, 100),
    "bitwise_and(picture, 255)": (100, 100, 100),
}
print("most would guess:", "; ".join(f"{call} {guess}" for call, guess in guesses.items()))
seen = {}
for call in guesses:
    seen[call] = tuple(map(int, eval("cv2." + call)[0, 0]))
    print(f"seen: {call} {seen[call]}")
over = np.full((8, 8, 3), 1.2, np.float32)
clipped = cv2.min(over, 1.0)[0, 0].tolist()
print(f"seen: min of floats of 1.2 and 1.0, to clip them: {clipped}")
print("For min, max and the bits the number is (n, 0, 0, 0), so that min leaves a picture with its first channel alone; arithmetic repeats it")
same = all(seen[call] == guesses[call] for call in list(guesses)[:3])
raise SystemExit(not (same and seen["max(picture, 120)"] == (120, 100, 100) and seen["min(picture, 255)"] == (100, 0, 0) and clipped == [1, 0, 0]))
PY
