"""The tests of the whole: models and cheap baselines on known test sets beside what papers print, seconds, and memory."""
