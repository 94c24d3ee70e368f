"""What the AWS files say now, and what they last said when they made sense."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from roled.core import environment, profiles
from roled.core.errors import BrokenConfig, RoledError, UnknownProfile
from roled.core.profiles import Chain, Reading, StaticOnly

log = logging.getLogger(__name__)

Files = tuple[str, str]
Shell = Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """What of a shell decides which chain it gets: two shells with equal questions get equal answers."""

    profile: str
    files: Files
    own_region: str | None
    variables: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, profile: str, shell: Shell, files: Files) -> "Question":
        # The region stands apart, without what roled exported itself; the key id says whose keys are there,
        # no more.
        apart = {"AWS_ACCESS_KEY_ID", *environment.REGIONS}
        variables = tuple(sorted((k, v) for k, v in shell.items() if k.startswith("AWS_") and k not in apart))
        return cls(profile, files, environment.own_region(shell), variables)


@dataclass
class Config:
    """One pair of AWS files: the last good reading, and what is wrong with the files now."""

    signature: Hashable = None
    reading: Reading | None = None
    error: BrokenConfig | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Configs:
    """Readings by pair of files. A file that does not parse leaves the last good reading in force."""

    def __init__(
        self,
        read: Callable[[Files], Reading],
        signature: Callable[[Files], Hashable],
        watch: Callable[[Iterable[str]], None],
        session_name: str,
    ) -> None:
        self._read = read
        self._signature = signature
        self._watch = watch
        self._session_name = session_name
        self._configs: dict[Files, Config] = {}
        self._read_anew: set[Files] = set()

    async def reading(self, files: Files) -> Reading:
        """What the files say now, read anew if they changed; BrokenConfig when they never made sense."""
        config = await self._current(files)
        if config.reading is None:
            raise config.error or BrokenConfig(f"{files[0]} cannot be read")
        return config.reading

    async def resolve(self, question: Question) -> Chain | StaticOnly:
        """The chain that answers a question, or the RoledError that tells why there is none."""
        await self.reading(question.files)
        return self._resolve(question)

    async def summary(self, shell: Shell, files: Files) -> list[dict[str, str | None]]:
        """One row for each profile."""
        reading = await self.reading(files)
        own_region = environment.own_region(shell)
        return profiles.summary(reading, shell, self._session_name, files, own_region)

    async def changed(self) -> set[Files]:
        """Read anew what changed on disk, and name what was read anew since the last call, by whomever."""
        stale = [pair for pair, config in self._configs.items() if config.signature != self._signature(pair)]
        for files in stale:
            await self._current(files)
        changed, self._read_anew = self._read_anew, set()
        return changed

    def outcome(self, question: Question) -> str:
        """What a shell that asks now would be told, in one comparable string: an identity, an error, or
        neither.
        """
        try:
            chain = self._resolve(question)
        except RoledError as error:
            return f"{error.code}: {error}"
        return "static" if isinstance(chain, StaticOnly) else chain.identity

    def trouble(self, files: Files) -> BrokenConfig | None:
        """What is wrong with the files although a last good reading is in force."""
        config = self._configs.get(files)
        return config.error if config else None

    def rows(self) -> list[dict[str, str]]:
        """Each file with its error, for status."""
        return [
            {"path": path, "error": str(config.error) if config.error and path in str(config.error) else ""}
            for files, config in self._configs.items()
            for path in files
        ]

    def _resolve(self, question: Question) -> Chain | StaticOnly:
        config = self._configs[question.files]
        if config.reading is None:
            raise config.error or BrokenConfig(f"{question.files[0]} cannot be read")
        try:
            return profiles.resolve(
                config.reading,
                question.profile,
                dict(question.variables),
                self._session_name,
                question.files,
                question.own_region,
            )
        except UnknownProfile:
            if config.error:  # the profile may well stand in the part that cannot be read
                raise config.error from None
            raise

    async def _current(self, files: Files) -> Config:
        signature = self._signature(files)
        config = self._configs.get(files)
        if config is None:
            config = self._configs[files] = Config()
            self._watch([path for pair in self._configs for path in pair])
        async with config.lock:  # five hundred shells asking at once read it once
            if config.signature != signature:
                await self._take_in(config, files, signature)
        return config

    async def _take_in(self, config: Config, files: Files, signature: Hashable) -> None:
        # In a thread: ten thousand profiles take botocore's parser half a second.
        try:
            reading = await asyncio.to_thread(self._read, files)
        except BrokenConfig as error:
            config.error = error
            log.warning("config: %s; what it said before stays in force", error)
        else:
            config.reading, config.error = reading, None
            log.info("config: read %d profiles from %s and %s", len(reading.profiles), *files)
        if config.signature is not None:  # the first reading changes nothing for anybody
            self._read_anew.add(files)
        config.signature = signature
