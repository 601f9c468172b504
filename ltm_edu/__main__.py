"""`python -m ltm_edu` is `ltm-edu`; `torchrun -m ltm_edu` starts it on several GPUs."""

from .cli import main

raise SystemExit(main())
