"""UP-ZeroIR: degradation as a shift of the distribution of latents, modelled and aligned while sampling; docs/upzeroir.md."""
