"""roled: every open terminal always has valid AWS credentials of the role it names.

    commands/    what a person types            shell/      what their shell runs at each prompt
    daemon.py    the daemon's process           service.py  the wiring: edges into keeper
    keeper.py    keeps leases fresh             worker.py   the child that boto3 or keyring lives in
    configs.py   what the AWS files say         store.py    the cache behind memory
    core/        decides: no clock, files, sockets, environment or threads
    edges/       acts: one file per outside thing
    demo/        an AWS stand-in, and the story played against it

A reader's way: README -> service.py -> keeper.py -> core/.
"""

__version__ = "0.1.0"
