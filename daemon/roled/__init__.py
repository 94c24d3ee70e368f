"""roled: every open terminal always has valid AWS credentials of the role it names.

    commands/    what a person types            shell/   what their shell runs at each prompt
    service.py   the wiring: edges into keeper  worker.py   the child process that boto3 or keyring lives in
    keeper.py    keeps leases fresh             demo/    an AWS stand-in, and the story played against it
    core/        decides: no clock, files, sockets, environment or threads
    edges/       acts: one file per outside thing

A reader's way: README -> service.py -> keeper.py -> core/.
"""

__version__ = "0.1.0"
