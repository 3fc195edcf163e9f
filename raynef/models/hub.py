"""Segmenters on a hub of models: a folder goes there as it is, and comes back."""

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import torch

from raynef.core.errors import UserError
from raynef.io.files import write_text
from raynef.models.folder import CONFIG, WEIGHTS

CARD = "README.md"
_FILES = [
    CONFIG,
    "*.safetensors",
    "*.json",
    "names.tsv",
]  # of a segmenter, of what a repository has
_LOG_IN = "log in (hf auth login), or give token="


class OnHub(ABC):
    """What is saved in a folder, and so can go to a hub with its card."""

    @abstractmethod
    def card(self, repo_id: str, license: str | None = None) -> str:
        """Its model card, Markdown with front matter."""

    @abstractmethod
    def save(self, folder: str | Path) -> Path:
        """Write its folder."""

    @classmethod
    @abstractmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Self:
        """Open its folder."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Open a segmenter on the Hugging Face Hub, or one in a folder.

        Args:
            source: OWNER/NAME of a repository, or a folder as of ``load``, which goes first.
            revision: a branch, tag or commit of the repository; the newest if None.
            token: of the hub; the one that ``hf auth login`` keeps if None.
            device: where it runs.

        Raises:
            UserError: neither is there, the hub cannot be reached and its cache has nothing, or
                what is there is no segmenter.
        """
        if Path(source).is_dir():
            if revision is not None:
                raise UserError(f"{source} is a folder here, and has no revision {revision!r}")
            return cls.load(source, device=device)
        return cls.load(fetch(str(source), revision=revision, token=token), device=device)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        license: str | None = None,
        replace_card: bool = False,
        token: str | None = None,
    ) -> str:
        """Upload it to the Hugging Face Hub with a model card; the address of its repository.

        The card says what trained it, whether labels did, and its scores; it names no path. A
        backbone whose weights were a file goes along: mind its license.

        Args:
            repo_id: OWNER/NAME, or NAME of your own; made if it is not there.
            private: where it is made.
            license: of the card, as the hub abbreviates it, such as ``apache-2.0``.
            replace_card: write the card anew where there is one already.
            token: of the hub; the one that ``hf auth login`` keeps if None.

        Raises:
            UserError: no token or no right to write there, no network, or no such name.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = self.save(Path(name) / "segmenter")
            write_text(folder / CARD, self.card(repo_id, license))
            return push(folder, repo_id, private=private, replace_card=replace_card, token=token)


def push(
    folder: Path, repo_id: str, *, private: bool, replace_card: bool, token: str | None
) -> str:
    """Upload a segmenter's folder in one commit, to a repository that is made if need be.

    Args:
        folder: with a card.
        repo_id: OWNER/NAME, or NAME of the user's own.
        private: where it is made.
        replace_card: also where the repository has one, which somebody may have edited.
        token: of the hub; the one that the user logged in with if None.

    Returns:
        The address of the repository.

    Raises:
        UserError: no token or no right to write, no network, or no such name.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi(token=token)
        made = api.create_repo(repo_id, private=private, exist_ok=True)
        keep = not replace_card and api.file_exists(made.repo_id, CARD)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            ignore_patterns=[CARD] if keep else None,
            commit_message="A segmenter of raynef",
        )
    except _failures() as error:
        raise UserError(_reason(error, repo_id, "pushed")) from error
    return str(made)


def fetch(repo_id: str, *, revision: str | None, token: str | None) -> Path:
    """The folder of a segmenter on the hub, in the hub's cache.

    Args:
        repo_id: OWNER/NAME.
        revision: a branch, tag or commit; the newest of the main branch if None.
        token: as of ``push``.

    Raises:
        UserError: no such repository or revision, no network and nothing in the cache, no token
            where one is needed, or what is there is no segmenter.
    """
    from huggingface_hub import HfApi

    try:
        found: str = HfApi(token=token).snapshot_download(  # pyright: ignore[reportUnknownMemberType]
            repo_id, revision=revision, allow_patterns=_FILES
        )
    except _failures() as error:
        raise UserError(_reason(error, repo_id, "fetched", revision)) from error
    folder = Path(found)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(f"{repo_id} on the hub holds no segmenter of raynef")
    return folder


def _failures() -> tuple[type[Exception], ...]:
    """What the hub's client raises; ``HTTPError`` is that of the HTTP library that it uses."""
    from huggingface_hub.errors import HTTPError  # pyright: ignore

    return (HTTPError, OSError, ValueError)


def _reason(error: Exception, repo_id: str, done: str, revision: str | None = None) -> str:
    """In one line."""
    from huggingface_hub import constants, errors

    said = " ".join(str(error).split())
    hub = constants.ENDPOINT
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.HFValidationError):
        return f"{repo_id!r} is neither a folder nor OWNER/NAME of a repository"
    if isinstance(error, errors.GatedRepoError):
        return f"{repo_id} is gated: ask for access at {hub}/{repo_id}, then {_LOG_IN}"
    if isinstance(error, errors.LocalTokenNotFoundError) or (status == 401 and done == "pushed"):
        return f"{repo_id} was not {done}: {hub} knows no token of yours; {_LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no repository {repo_id} on {hub}; if it is private, {_LOG_IN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}"
    if status == 403:
        return f"{repo_id} was not {done}: your token may not do that"
    if status is None and not isinstance(error, ValueError):
        return f"{repo_id} was not {done}, is {hub} within reach? {said}"
    return f"{repo_id} was not {done}: {said}"
