"""The API under /api/v1 of the stand-in lakeFS server."""

import base64
import re
import time
from collections.abc import Callable
from urllib.parse import unquote

from tests.lakefs_http import Answer, Exchange, entry_of
from tests.lakefs_state import Branch, CommitRecord, Entry, Refusal, Repository


class ApiExchange(Exchange):
    """Answers calls of the API; each method is one operation of the contract."""

    def api(self, path: str) -> Answer:
        """Answer one call."""
        if not path.startswith("/api/v1"):
            raise Refusal(404, "no such page")
        self._authenticate()
        route = f"{self.command} {path.removeprefix('/api/v1')}"
        for pattern, handle in _ROUTES:
            if match := pattern.fullmatch(route):
                parts = [unquote(part) for part in match.groups()]
                return handle(self, *parts)
        raise Refusal(404, "no such page")

    def _authenticate(self) -> None:
        expected = f"{self.stand_in.access_key_id}:{self.stand_in.secret_access_key}"
        token = "Basic " + base64.b64encode(expected.encode()).decode()
        if self.headers.get("Authorization") != token:
            raise Refusal(401, "error authenticating request")

    def _page(self, names: list[str], make: Callable[[str], dict], *, ordered: bool) -> Answer:
        """One page of results; the token of the next is the last name."""
        after, prefix = self.query.get("after", ""), self.query.get("prefix", "")
        names = [name for name in names if name.startswith(prefix)]
        if ordered:
            names = [name for name in names if name > after]
        elif after:
            names = names[names.index(after) + 1 :]
        amount = min(int(self.query.get("amount", 100)), self.stand_in.page_size)
        amount = self.stand_in.page_size if amount < 1 else amount
        page = names[:amount]
        pagination = {
            "has_more": len(names) > amount,
            "next_offset": page[-1] if len(names) > amount else "",
            "results": len(page),
            "max_per_page": self.stand_in.page_size,
        }
        return Answer(200, {"pagination": pagination, "results": [make(name) for name in page]})

    def config(self) -> Answer:
        storage = {
            "blockstore_type": "local",
            "blockstore_namespace_example": "local://example",
            "blockstore_namespace_ValidityRegex": "^local://",
            "pre_sign_support": False,
            "pre_sign_support_ui": False,
            "import_support": False,
            "import_validity_regex": "^local://",
        }
        return Answer(200, {"version_config": {"version": "1.0.0"}, "storage_config": storage})

    def list_repositories(self) -> Answer:
        known = self.stand_in.repositories
        return self._page(sorted(known), lambda name: _repository_json(known[name]), ordered=True)

    def create_repository(self) -> Answer:
        body = self.json()
        name, namespace = body["name"], body["storage_namespace"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,62}", name):
            raise Refusal(400, "invalid repository name")
        if not re.match(r"(s3|gs|https?|mem|local|transient)://", namespace):
            raise Refusal(400, "invalid storage namespace")
        with self.stand_in.lock:
            if name in self.stand_in.repositories:
                raise Refusal(409, "repository already exists")
            made = Repository(name, namespace, body.get("default_branch", "main"), int(time.time()))
            first = made.add_commit((), {}, "Repository created", {})
            made.branches[made.default_branch] = Branch(first.commit_id)
            self.stand_in.repositories[name] = made
        return Answer(201, _repository_json(made))

    def get_repository(self, name: str) -> Answer:
        return Answer(200, _repository_json(self.repository(name)))

    def delete_repository(self, name: str) -> Answer:
        self.repository(name)
        del self.stand_in.repositories[name]
        return Answer(204)

    def list_branches(self, name: str) -> Answer:
        branches = self.repository(name).branches
        shown = self.query.get("show_hidden", "").lower() == "true"
        names = sorted(n for n, branch in branches.items() if shown or not branch.hidden)
        return self._page(
            names, lambda n: {"id": n, "commit_id": branches[n].commit_id}, ordered=True
        )

    def create_branch(self, name: str) -> Answer:
        body = self.json()
        if not re.fullmatch(r"\w[-\w]*", body["name"], re.ASCII):
            raise Refusal(400, "invalid branch name")
        repository = self.repository(name)
        hidden = bool(body.get("hidden", False))
        return Answer(201, repository.create_branch(body["name"], body["source"], hidden=hidden))

    def get_branch(self, name: str, branch: str) -> Answer:
        found = self.repository(name).branch(branch)
        return Answer(200, {"id": branch, "commit_id": found.commit_id})

    def delete_branch(self, name: str, branch: str) -> Answer:
        self.repository(name).delete_branch(branch)
        return Answer(204)

    def commit(self, name: str, branch: str) -> Answer:
        body = self.json()
        made = self.repository(name).commit(branch, body["message"], body.get("metadata", {}))
        return Answer(201, _commit_json(made))

    def get_commit(self, name: str, commit_id: str) -> Answer:
        return Answer(200, _commit_json(self.repository(name).resolve(commit_id)))

    def log_commits(self, name: str, ref: str) -> Answer:
        first_parent = self.query.get("first_parent", "").lower() == "true"
        log = self.repository(name).log(ref, first_parent=first_parent)
        found = {record.commit_id: record for record in log}
        return self._page(list(found), lambda i: _commit_json(found[i]), ordered=False)

    def diff_refs(self, name: str, left: str, right: str) -> Answer:
        kind = self.query.get("type", "three_dot")
        changes = self.repository(name).diff(left, right, kind)
        return self._page(
            list(changes),
            lambda path: {"path": path, "type": changes[path], "path_type": "object"},
            ordered=True,
        )

    def merge(self, name: str, source: str, branch: str) -> Answer:
        body = self.json()
        made = self.repository(name).merge(
            source,
            branch,
            body.get("message", f"Merge {source} into {branch}"),
            body.get("metadata", {}),
            body.get("strategy", ""),
        )
        return Answer(200, {"reference": made.commit_id})

    def create_tag(self, name: str) -> Answer:
        body = self.json()
        commit_id = self.repository(name).create_tag(body["id"], body["ref"])
        return Answer(201, {"id": body["id"], "commit_id": commit_id})

    def get_tag(self, name: str, tag: str) -> Answer:
        tags = self.repository(name).tags
        if tag not in tags:
            raise Refusal(404, "tag not found")
        return Answer(200, {"id": tag, "commit_id": tags[tag]})

    def list_tags(self, name: str) -> Answer:
        tags = self.repository(name).tags
        return self._page(sorted(tags), lambda t: {"id": t, "commit_id": tags[t]}, ordered=True)

    def list_objects(self, name: str, ref: str) -> Answer:
        tree = self.repository(name).tree(ref)
        with_metadata = self.query.get("user_metadata", "true").lower() == "true"
        return self._page(
            sorted(tree), lambda path: _stats_json(path, tree[path], with_metadata), ordered=True
        )

    def _entry(self, name: str, ref: str) -> tuple[str, Entry]:
        path = self.query["path"]
        tree = self.repository(name).tree(ref)
        if path not in tree:
            raise Refusal(404, "path not found")
        return path, tree[path]

    def stat_object(self, name: str, ref: str) -> Answer:
        return Answer(200, _stats_json(*self._entry(name, ref), with_metadata=True))

    def get_object(self, name: str, ref: str) -> Answer:
        return self.slice(self._entry(name, ref)[1], {})

    def upload_object(self, name: str, branch: str) -> Answer:
        repository = self.repository(name)
        repository.branch(branch)
        if self.headers.get("Content-Type") != "application/octet-stream":
            raise Refusal(400, "the stand-in takes octet streams only")
        entry = entry_of(
            self.store_body(),
            {
                key.lower().removeprefix("x-lakefs-meta-"): value
                for key, value in self.headers.items()
                if key.lower().startswith("x-lakefs-meta-") and self.stand_in.keeps_upload_metadata
            },
        )
        repository.stage(branch, self.query["path"], entry)
        return Answer(201, _stats_json(self.query["path"], entry, with_metadata=True))

    def set_user_metadata(self, name: str, branch: str) -> Answer:
        path, entry = self._entry(name, branch)
        made = entry_of(entry.file, dict(self.json()["set"]))
        self.repository(name).stage(branch, path, made)
        return Answer(201)

    def delete_object(self, name: str, branch: str) -> Answer:
        self.repository(name).stage(branch, self.query["path"], None)
        return Answer(204)

    def delete_objects(self, name: str, branch: str) -> Answer:
        for path in self.json()["paths"]:
            self.repository(name).stage(branch, path, None)
        return Answer(200, {"errors": []})


def _repository_json(repository: Repository) -> dict:
    return {
        "id": repository.name,
        "creation_date": repository.created,
        "default_branch": repository.default_branch,
        "storage_namespace": repository.storage_namespace,
    }


def _commit_json(record: CommitRecord) -> dict:
    return {
        "id": record.commit_id,
        "parents": list(record.parents),
        "committer": "stand-in",
        "message": record.message,
        "creation_date": record.created,
        "meta_range_id": "",
        "metadata": dict(record.metadata),
    }


def _stats_json(path: str, entry: Entry, with_metadata: bool) -> dict:
    stats: dict[str, object] = {
        "path": path,
        "path_type": "object",
        "physical_address": f"local://stand-in/{entry.file.name}",
        "checksum": entry.etag,
        "size_bytes": entry.size,
        "mtime": entry.mtime,
        "content_type": entry.content_type,
    }
    return stats | ({"metadata": dict(entry.metadata)} if with_metadata else {})


_NAME = "([^/]+)"
_REPOSITORY = f"/repositories/{_NAME}"
_ROUTES: list[tuple[re.Pattern[str], Callable[..., Answer]]] = [
    (re.compile(pattern), handle)
    for pattern, handle in [
        ("GET /config", ApiExchange.config),
        ("GET /repositories", ApiExchange.list_repositories),
        ("POST /repositories", ApiExchange.create_repository),
        (f"GET {_REPOSITORY}", ApiExchange.get_repository),
        (f"DELETE {_REPOSITORY}", ApiExchange.delete_repository),
        (f"GET {_REPOSITORY}/branches", ApiExchange.list_branches),
        (f"POST {_REPOSITORY}/branches", ApiExchange.create_branch),
        (f"GET {_REPOSITORY}/branches/{_NAME}", ApiExchange.get_branch),
        (f"DELETE {_REPOSITORY}/branches/{_NAME}", ApiExchange.delete_branch),
        (f"POST {_REPOSITORY}/branches/{_NAME}/commits", ApiExchange.commit),
        (f"POST {_REPOSITORY}/branches/{_NAME}/objects", ApiExchange.upload_object),
        (f"DELETE {_REPOSITORY}/branches/{_NAME}/objects", ApiExchange.delete_object),
        (f"POST {_REPOSITORY}/branches/{_NAME}/objects/delete", ApiExchange.delete_objects),
        (
            f"PUT {_REPOSITORY}/branches/{_NAME}/objects/stat/user_metadata",
            ApiExchange.set_user_metadata,
        ),
        (f"GET {_REPOSITORY}/commits/{_NAME}", ApiExchange.get_commit),
        (f"GET {_REPOSITORY}/refs/{_NAME}/commits", ApiExchange.log_commits),
        (f"GET {_REPOSITORY}/refs/{_NAME}/diff/{_NAME}", ApiExchange.diff_refs),
        (f"POST {_REPOSITORY}/refs/{_NAME}/merge/{_NAME}", ApiExchange.merge),
        (f"GET {_REPOSITORY}/refs/{_NAME}/objects", ApiExchange.get_object),
        (f"HEAD {_REPOSITORY}/refs/{_NAME}/objects", ApiExchange.get_object),
        (f"GET {_REPOSITORY}/refs/{_NAME}/objects/ls", ApiExchange.list_objects),
        (f"GET {_REPOSITORY}/refs/{_NAME}/objects/stat", ApiExchange.stat_object),
        (f"POST {_REPOSITORY}/tags", ApiExchange.create_tag),
        (f"GET {_REPOSITORY}/tags", ApiExchange.list_tags),
        (f"GET {_REPOSITORY}/tags/{_NAME}", ApiExchange.get_tag),
    ]
]
