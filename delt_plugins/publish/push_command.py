"""``delt-host push``: an exported folder to a dataset hub, through the hub's own client."""

from __future__ import annotations

from pathlib import Path

import click

from delt_host import InputError, RunError
from delt_host.workshop import options, terminal

# Before it the hub's client fails on its answers, or asks its default hub all the same.
OTHER_HUBS_FROM = "1.4"
# What an export writes; nothing else that lies in the folder leaves the machine.
PATTERNS = (
    "README.md",
    "distilled.safetensors",
    "labels-*.safetensors",
    "classes.json",
    "train/*/*.png",
    "train-*.tar",
)


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--repo", required=True, metavar="USER/NAME", help="The dataset repository; made where it is missing.")
@click.option("--endpoint", metavar="URL", help="Another hub than the client's default.")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--message", default="Upload a distilled set", show_default=True, help="The commit's message.")
@click.option("--dry-run", is_flag=True, help="Print what would be uploaded; upload nothing.")
@options.plugins
def command(
    folder: Path,
    repo: str,
    endpoint: str | None,
    private: bool,
    message: str,
    dry_run: bool,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
) -> None:
    """Upload an exported set to the Hugging Face hub.

    FOLDER is what `delt-host export` wrote; it becomes a dataset. The token is the hub client's own: its login, or
    HF_TOKEN. The card must name a licence.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from delt_host.workshop import size
    from delt_plugins.publish import load
    from delt_plugins.publish.card import UNKNOWN, licence_of

    try:
        validate_repo_id(repo)
    except HFValidationError:
        repo = ""
    if repo.count("/") != 1:
        raise InputError("--repo must be USER/NAME, of letters, digits, dots, dashes and underscores")
    _check_endpoint(endpoint)
    files = files_of(folder)
    # Damaged or mismatched files are refused here, not by those who download them.
    load(folder, lambda name: options.loaded(plugins, prefer).get("form", name))
    if licence_of(folder / "README.md") == UNKNOWN:
        raise InputError(
            f"{folder / 'README.md'} names no licence: the source's decides; fill in `license:` in its head, or export "
            "with --license"
        )
    total = sum((folder / file).stat().st_size for file in files)
    if dry_run:
        terminal.say(f"would upload {len(files)} files, {size(total)}, to the dataset {repo}:")
        for file in files[:20]:
            terminal.say(f"  {file}")
        if len(files) > 20:
            terminal.say(f"  … and {len(files) - 20} more")
        return
    token = get_token()
    if not token:
        raise InputError("no token for the hub: run `hf auth login`, or set HF_TOKEN to one that may write")
    try:
        api = HfApi(endpoint=endpoint, token=token)
        api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type="dataset", commit_message=message, allow_patterns=files
        )
    except Exception as error:  # of the client: its network library's, the hub's, and its own
        said = " ".join(str(error).split())[:300]
        raise RunError(f"the upload to {repo} failed: {type(error).__name__}: {said}") from error
    terminal.say(f"uploaded {len(files)} files, {size(total)}: {done.commit_url}")


def files_of(folder: Path) -> list[str]:
    """The files of an exported folder, relative to it. InputError where it is none, or one is a link to elsewhere."""
    found = sorted(path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in found]
    for needed in ("README.md", "distilled.safetensors"):
        if needed not in names:
            raise InputError(f"{folder} has no {needed}; `delt-host export` writes a folder with one")
    for path in found:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path} is a symbolic link that leads out of {folder}; it is not uploaded")
    return names


def _check_endpoint(endpoint: str | None) -> None:
    from urllib.parse import urlparse

    import huggingface_hub
    from packaging.version import Version

    if endpoint is None:
        return
    address = urlparse(endpoint)
    local = address.hostname in ("localhost", "127.0.0.1", "::1")
    if address.scheme != "https" and not (address.scheme == "http" and local):
        raise InputError(f"--endpoint {endpoint}: it must begin with https://, as the token goes there")
    if Version(huggingface_hub.__version__) < Version(OTHER_HUBS_FROM):
        raise InputError(
            f"--endpoint needs huggingface-hub {OTHER_HUBS_FROM} or newer, and this is {huggingface_hub.__version__}; it knows "
            f"another hub by its environment alone: HF_ENDPOINT={endpoint}"
        )
