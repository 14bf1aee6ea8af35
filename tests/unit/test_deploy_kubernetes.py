"""The Kubernetes manifests: they fit the schemas of several versions, fit together, and start what this program has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest

from probes.health import Health
from probes.settings import Settings
from tests.deploy_kit import DEPLOY, broker_users, command_of, documents_in, settings_with, worker_stop_limit_s

FOLDER = DEPLOY / "kubernetes"
FLEET = FOLDER / "base" / "fleet.toml"
VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version())
FILES = [file for file in sorted(FOLDER.rglob("*.yaml")) if file.name != "kustomization.yaml"]
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
OBJECTS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    (document["kind"], document["metadata"]["name"]): document for file in FILES for document in documents_in(file)
}
PARTS = {"collector": OBJECTS["Deployment", "collector"], "worker": OBJECTS["StatefulSet", "worker"]}
REGIONS = sorted(file.parent.name for file in KUSTOMIZATIONS if file.parent.parent.name == "regions")


def pod_of(part: str) -> dict[str, Any]:
    """What a part's pods are made of."""
    pod: dict[str, Any] = PARTS[part]["spec"]["template"]["spec"]
    return pod


def container_of(part: str) -> dict[str, Any]:
    """The one container of a part's pods."""
    (container,) = pod_of(part)["containers"]
    return dict(container)


def generated(file: Path, name: str) -> dict[str, Any]:
    """A config map that a kustomization makes."""
    (kustomization,) = documents_in(file)
    (found,) = [entry for entry in kustomization["configMapGenerator"] if entry["name"] == name]
    return dict(found)


def settings_of(part: str, region: str = "eu-west") -> Settings:
    """The settings that a pod would have; the name of a pod is one that the cluster would give."""
    variables = {entry["name"]: entry.get("value", "collector-5d8f7c-x2x4z") for entry in container_of(part)["env"]}
    if part == "worker":
        probe = generated(FOLDER / "regions" / region / "kustomization.yaml", "probe")
        variables |= dict(literal.split("=", 1) for literal in probe["literals"])
    return settings_with(variables, FLEET)


def mounts_of(part: str) -> dict[str, dict[str, Any]]:
    """The volume behind each path."""
    volumes = {volume["name"]: volume for volume in pod_of(part)["volumes"]}
    for claim in PARTS[part]["spec"].get("volumeClaimTemplates", []):
        volumes[claim["metadata"]["name"]] = {"claim": claim["spec"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in container_of(part)["volumeMounts"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_manifest_fits_the_schema_of_kubernetes(file: Path, version: str) -> None:
    """Strictly: a key that the version does not know is refused."""
    for document in documents_in(file):
        kubernetes_validate.validate(document, version, strict=True)
        document["metadata"]["nom"] = "x"
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("part", PARTS)
def test_a_pod_runs_a_command_that_there_is_with_settings_that_there_are(part: str) -> None:
    """The image's entry point is the program; the settings are mounted where the variable says."""
    assert command_of(container_of(part)["args"]).command == part
    settings = settings_of(part)
    where = next(entry["value"] for entry in container_of(part)["env"] if entry["name"] == "PROBE_FLEET_SETTINGS")
    assert mounts_of(part)[str(Path(where).parent)] == {"name": "settings", "configMap": {"name": "settings"}}
    assert Path(where).name in generated(FOLDER / "base" / "kustomization.yaml", "settings")["files"]
    assert settings.broker.username in broker_users(settings)


@pytest.mark.parametrize("part", PARTS)
def test_the_secrets_of_the_settings_are_files_in_the_pod(part: str) -> None:
    """With the key of the secret as the file's name, readable for the pod's group and nobody else."""
    settings, mounts = settings_of(part), mounts_of(part)
    for name in ("broker", "fleet_key" if part == "worker" else "database"):
        file = Path(settings.secret_sources[name].file)
        secret = mounts[str(file.parent)]["secret"]
        assert file.name in OBJECTS["Secret", secret["secretName"]]["stringData"]
        assert secret["defaultMode"] == 0o440
    assert settings.broker.ca_file is not None
    assert settings.broker.ca_file.name in OBJECTS["Secret", f"{part}-broker"]["stringData"]
    assert not any("PASSWORD" in entry["name"] for entry in container_of(part)["env"])


def test_the_example_holds_no_secret() -> None:
    """It shows names, and nothing that somebody could go on using."""
    secrets = [document for (kind, _), document in OBJECTS.items() if kind == "Secret"]
    assert {text for secret in secrets for text in secret["stringData"].values()} == {""}
    assert not any("secrets.example.yaml" in file.read_text("utf-8") for file in KUSTOMIZATIONS)


@pytest.mark.parametrize("part", PARTS)
def test_the_kubelet_asks_the_pages_that_there_are(part: str) -> None:
    """Alive decides about a restart, ready about traffic, at the port of the settings, on every address of the pod."""
    container, settings = container_of(part), settings_of(part)
    (port,) = container["ports"]
    endpoint = settings.worker.health if part == "worker" else settings.collector.health
    assert endpoint == f"0.0.0.0:{port['containerPort']}"
    page = Health(lambda: False, dict)
    codes = {
        name: page.answer("GET", container[name]["httpGet"]["path"])[0]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert codes == {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 503}
    assert {container[name]["httpGet"]["port"] for name in codes} == {port["name"]}


@pytest.mark.parametrize("part", PARTS)
def test_a_pod_may_run_where_pods_are_restricted(part: str) -> None:
    """The namespace enforces it: not root, no rights, nothing of its own image is written."""
    pod, container = pod_of(part), container_of(part)
    assert (
        OBJECTS["Namespace", "probe-fleet"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "--uid 10001 " in (DEPLOY / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("part", PARTS)
def test_what_a_part_writes_lies_on_a_volume(part: str) -> None:
    """State, cache, home, temporary files; the outbox on one that stays."""
    settings, mounts = settings_of(part), mounts_of(part)
    writable = {Path(path): volume for path, volume in mounts.items() if "emptyDir" in volume or "claim" in volume}
    home = next((entry["value"] for entry in container_of(part)["env"] if entry["name"] == "HOME"), "/tmp")  # noqa: S108
    wanted = [settings.state_dir, Path(home), Path("/tmp")]  # noqa: S108 - where the pod has it
    wanted += [settings.evidence_dir, settings.parts_dir, Path("/dev/shm")] if part == "worker" else []  # noqa: S108
    assert [path for path in wanted if not any(path.is_relative_to(place) for place in writable)] == []
    if part == "worker":
        assert "claim" in next(volume for place, volume in writable.items() if settings.state_dir.is_relative_to(place))
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"  # noqa: S108
        assert PARTS[part]["spec"]["replicas"] == 1
    else:
        assert settings.collector.database.startswith("postgresql://")
        assert PARTS[part]["spec"]["replicas"] == 2


def test_no_orderly_end_is_cut_off() -> None:
    """The kubelet waits longer than the parts need at most."""
    assert pod_of("worker")["terminationGracePeriodSeconds"] > worker_stop_limit_s(settings_of("worker"))
    assert pod_of("collector")["terminationGracePeriodSeconds"] > 15


@pytest.mark.parametrize("part", PARTS)
def test_whatever_selects_pods_selects_those_of_its_part(part: str) -> None:
    """Budget, policy, service and the owner itself; a selector that matches nothing would protect nothing."""
    labels = PARTS[part]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        OBJECTS["PodDisruptionBudget", part]["spec"]["selector"]["matchLabels"],
        OBJECTS["NetworkPolicy", part]["spec"]["podSelector"]["matchLabels"],
        PARTS[part]["spec"]["selector"]["matchLabels"],
    ]
    if part == "worker":
        selectors.append(OBJECTS["Service", PARTS[part]["spec"]["serviceName"]]["spec"]["selector"])
    assert all(selector == labels for selector in selectors)
    assert OBJECTS["NetworkPolicy", part]["spec"]["ingress"] == []


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: file.parent.name)
def test_a_kustomization_names_files_that_there_are(file: Path) -> None:
    """Resources, none a folder around it, which kustomize takes for a cycle; files of config maps, none outside; images."""
    (kustomization,) = documents_in(file)
    resources = [file.parent / name for name in kustomization["resources"]]
    assert [path for path in resources if not (path / "kustomization.yaml").is_file() and not path.is_file()] == []
    assert [path for path in resources if file.is_relative_to(path.resolve())] == []
    named = [name for entry in kustomization.get("configMapGenerator", []) for name in entry.get("files", [])]
    assert [name for name in named if not (file.parent / name).is_file() or "/" in name] == []
    assert {image["name"] for image in kustomization.get("images", [])} <= {
        container_of(part)["image"] for part in PARTS
    }
    assert kustomization["namespace"] == "probe-fleet"


@pytest.mark.parametrize("region", REGIONS)
def test_each_region_has_a_worker_that_the_broker_knows(region: str) -> None:
    """Region, probe and user of its variables belong together."""
    settings = settings_of("worker", region)
    assert settings.region == region
    assert settings.broker.username == f"{region}/{settings.probe}"
    assert settings.broker.username in broker_users(settings)
    assert sorted(settings.regions) == REGIONS
    source = container_of("worker")["envFrom"]
    assert source == [{"configMapRef": {"name": "probe"}}]
