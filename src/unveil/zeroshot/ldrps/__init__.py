"""LD-RPS (ICCV 2025): an adapter learnt on the fly says how the degraded photograph follows from the restored one."""
