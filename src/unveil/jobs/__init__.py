"""Many restorations: what to restore, where it goes, and a run that no single file can stop."""
