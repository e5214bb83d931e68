"""The scheduled refresh: its commands are valid for the trainer, and it publishes to the candidate only."""

from __future__ import annotations

from typing import Any

from tests.deploy.assets import README
from tests.deploy.test_kubernetes import rendered, resource, variables
from tests.fixtures.flags import of_trainer
from trainer.collect.settings import CollectSettings
from trainer.commands.registry_settings import PruneSettings
from trainer.errors import Exit
from trainer.settings import TrainSettings

OVERLAY = "overlays/example"


def _job() -> dict[str, Any]:
    (found,) = (
        manifest
        for manifest in rendered(OVERLAY)
        if manifest["kind"] == "CronJob" and manifest["metadata"]["name"] == "starstream-refresh"
    )
    spec: dict[str, Any] = found["spec"]
    return spec


def _pod() -> dict[str, Any]:
    found: dict[str, Any] = _job()["jobTemplate"]["spec"]["template"]["spec"]
    return found


def _parsed(container: dict[str, Any]) -> Any:
    return of_trainer(container["args"])


def test_refresh_prunes_collects_trains_and_publishes_to_the_candidate() -> None:
    (prune, collect), (train,) = (
        [_parsed(container) for container in _pod()[kind]] for kind in ("initContainers", "containers")
    )
    assert isinstance(prune, PruneSettings)
    assert (prune.keep, prune.registry, prune.dry_run) == (10, train.registry, False)
    assert isinstance(collect, CollectSettings)
    assert isinstance(train, TrainSettings)
    assert train.data == [collect.out]
    assert (train.warm_start, train.channel, train.publish, train.force) == ("stable", "candidate", True, False)
    assert train.compared_channel(train.channel) == "stable"
    assert not train.texts, "no review is quoted in the report"


def test_refresh_reads_the_brokers_and_topics_of_the_workers() -> None:
    _, collect = map(_parsed, _pod()["initContainers"])
    given = variables(OVERLAY)
    assert ",".join(collect.bootstrap_servers) == given["WORKER_KAFKA_BOOTSTRAP_SERVERS"]
    assert given["WORKER_INPUT_TOPICS"] in collect.topic
    assert collect.security_protocol == given["WORKER_KAFKA_SECURITY_PROTOCOL"]
    assert collect.sasl_mechanism == given["WORKER_KAFKA_SASL_MECHANISM"]
    assert str(collect.ssl_cafile) == given["WORKER_KAFKA_SSL_CAFILE"]
    assert str(collect.sasl_password_file) == given["WORKER_KAFKA_SASL_PASSWORD_FILE"]


def test_refresh_writes_the_registry_that_workers_read() -> None:
    (train,) = _pod()["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in train["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in _pod()["volumes"]}
    claim = volumes[mounts[_parsed(train).registry]]["persistentVolumeClaim"]["claimName"]
    assert claim == resource(OVERLAY, "PersistentVolumeClaim")["metadata"]["name"]
    assert variables(OVERLAY)["WORKER_REGISTRY"] == _parsed(train).registry


def test_refresh_retries_only_what_another_try_can_change() -> None:
    (rule,) = _job()["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    lasting = {Exit.USAGE, Exit.BAD_DATA, Exit.REFUSED, Exit.GATE, Exit.CONFLICT}
    assert set(rule["onExitCodes"]["values"]) == lasting
    assert _job()["concurrencyPolicy"] == "Forbid"


def test_readme_has_the_same_refresh_for_cron() -> None:
    text = README.read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("30 2 * * *"))
    assert "collect" in line
    (train,) = (line for line in text.splitlines() if "--warm-start stable" in line)
    assert "--channel candidate" in train
