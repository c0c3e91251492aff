"""``python -m muscle_llm`` is the command line."""

import sys

from muscle_llm.cli import main

sys.exit(main())
