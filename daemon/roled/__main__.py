"""python -m roled."""

from roled.commands import main

main()
