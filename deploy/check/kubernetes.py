"""Looks at the manifests as kustomize made them, for what no schema knows: `kubernetes.py OVERLAY SECRETS [AIO]`, both files of YAML, the
second as deploy/k8s/secrets.sh prints it. AIO is the program: where it is given, each role's settings are checked by it as they stand."""

import base64
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLES = ("edge", "dashboard", "chat", "media", "billing", "webhooks")
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


def callers():
    """Who may call whom, by the program: its role.rs."""
    text = (ROOT / "services/aio/src/role.rs").read_text()
    body = text[text.index("const fn callers") :]
    body = body[: body.index("\n}")]
    rows = re.findall(r"^\s+(\w+) => &\[([^\]]+)\]", body, re.MULTILINE)
    return {role.lower(): {word.strip().lower() for word in row.split(",")} for role, row in rows}


class Manifests:
    def __init__(self, text):
        self.all = [one for one in yaml.safe_load_all(text) if one]

    def of(self, kind):
        return {one["metadata"]["name"]: one for one in self.all if one["kind"] == kind}

    def pods(self):
        """What every pod is made of, by the kind and name of who makes it."""
        for one in self.all:
            spec = one.get("spec", {})
            if one["kind"] == "CronJob":
                spec = spec["jobTemplate"]["spec"]
            if one["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
                yield f"{one['kind']}/{one['metadata']['name']}", spec["template"]


def restricted(manifests):
    """The rules of the pod security standard `restricted`, and ours: no token, limits, a root that is read-only for what is ours."""
    for who, pod in manifests.pods():
        spec, ours = pod["spec"], pod["metadata"]["labels"][NAME] == "aio"
        context = spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{who}: runAsNonRoot and the seccomp profile RuntimeDefault are needed"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{who}: gets a token of the cluster's"
        for volume in spec.get("volumes", []):
            kinds = set(volume) - {"name"}
            if len(kinds) != 1 or not kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}:
                yield f"{who}: the volume {volume['name']} is {sorted(kinds)}"
        for container in spec["containers"]:
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{who}: may gain rights"
            if ours and own.get("readOnlyRootFilesystem") is not True:
                yield f"{who}: may write its root"
            if "memory" not in container.get("resources", {}).get("limits", {}):
                yield f"{who}: has no limit of memory"
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            there = {volume["name"] for volume in spec.get("volumes", [])}
            there |= {"data"} if who.startswith("StatefulSet/") else set()
            if not mounted <= there:
                yield f"{who}: mounts {sorted(mounted - there)}, which is not there"


def complete(manifests):
    """Each role has all that a role has, and waits as long as it may take to stop."""
    for role in ROLES:
        for kind in ("Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"):
            if role not in manifests.of(kind):
                yield f"{role}: there is no {kind}"
        spec = manifests.of("Deployment")[role]["spec"]["template"]["spec"]
        container = spec["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if container.get(probe, {}).get("httpGet", {}).get("port") != "admin":
                yield f"{role}: there is no {probe} on the admin listener"
        env = {one["name"]: one["value"] for one in container["env"]}
        grace = int(env["AIO_SERVER__SHUTDOWN_GRACE"].removesuffix("s"))
        if spec["terminationGracePeriodSeconds"] < grace + 10 + 10:
            yield f"{role}: terminationGracePeriodSeconds is less than drain_delay, shutdown_grace and ten seconds"
        headless = manifests.of("Service")[role]["spec"].get("clusterIP") == "None"
        if headless != (role in callers()):
            yield f"{role}: a service that is called by gRPC, and no other, tells all addresses"


def components(rule):
    """The components that a peer of a policy names."""
    for peer in rule:
        selector = peer.get("podSelector", {})
        if COMPONENT in selector.get("matchLabels", {}):
            yield selector["matchLabels"][COMPONENT]
        for expression in selector.get("matchExpressions", []):
            if expression["key"] == COMPONENT:
                yield from expression["values"]


def network(manifests):
    """Policies let through exactly whom the program lets in, on both ends, and nothing else at all."""
    policies = manifests.of("NetworkPolicy")
    nobody = policies.get("nobody", {}).get("spec", {})
    if nobody.get("podSelector") != {} or sorted(nobody.get("policyTypes", [])) != ["Egress", "Ingress"] or nobody.keys() & {"ingress", "egress"}:
        yield "NetworkPolicy/nobody: by default everything must be refused"
    ports = {name: one["spec"]["ports"][0]["port"] for name, one in manifests.of("Service").items()}
    allowed = {role: set() for role in ROLES}
    for role in ROLES:
        for rule in policies[role]["spec"].get("ingress", []):
            if [port["port"] for port in rule.get("ports", [])] != [ports[role]]:
                yield f"NetworkPolicy/{role}: only port {ports[role]} is to be open"
            allowed[role] |= set(components(rule["from"]))
        if role in callers() and allowed[role] != callers()[role]:
            yield f"NetworkPolicy/{role}: lets in {sorted(allowed[role])}, the program {sorted(callers()[role])}"
    for role in ROLES:
        called = {(name, port["port"]) for rule in policies[role]["spec"].get("egress", []) for name in components(rule["to"]) for port in rule.get("ports", [])}
        wanted = {(peer, ports[peer]) for peer, who in callers().items() if role in who}
        if called != wanted:
            yield f"NetworkPolicy/{role}: calls {sorted(called)}, the program {sorted(wanted)}"
        blocks = [peer["ipBlock"] for rule in policies[role]["spec"].get("egress", []) for peer in rule["to"] if "ipBlock" in peer]
        for block in blocks:
            needed = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"}
            if block["cidr"] == "0.0.0.0/0" and not needed <= set(block["except"]):
                yield f"NetworkPolicy/{role}: private addresses are not the internet"
        if bool(blocks) != (role in {"chat", "media", "billing", "webhooks"}):
            yield f"NetworkPolicy/{role}: who calls the internet is chat, media, billing and webhooks"


def files(manifests, secrets):
    """Every file that a variable names is in a Secret, and no Secret holds what nobody there reads."""
    for who, pod in manifests.pods():
        spec = pod["spec"]
        holds = {volume["name"]: volume["secret"] for volume in spec.get("volumes", []) if "secret" in volume}
        container = spec["containers"][0]
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in holds:
                continue
            secret = holds[mount["name"]]["secretName"]
            if secret not in secrets:
                yield f"{who}: there is no Secret {secret}"
                continue
            told = " ".join([*variables(manifests, container).values(), *container.get("args", [])])
            read = set(re.findall(rf"{mount['mountPath']}/([\w.]+)", told))
            there = set(secrets[secret]["data"])
            if read - there:
                yield f"{who}: {sorted(read - there)} is not in the Secret {secret}"
            if pod["metadata"]["labels"][NAME] == "aio" and not holds[mount["name"]].get("optional") and there - read:
                yield f"{who}: nobody reads {sorted(there - read)} of the Secret {secret}"


def variables(manifests, container):
    """A container's variables, those of ConfigMaps included."""
    env = {}
    for source in container.get("envFrom", []):
        config = manifests.of("ConfigMap").get(source["configMapRef"]["name"])
        env |= config.get("data", {}) if config else {}
    return env | {one["name"]: one["value"] for one in container.get("env", [])}


def image():
    """The variables that the image brings."""
    text = (ROOT / "deploy/Dockerfile").read_text()
    runtime = text[text.rindex("FROM ") :]
    return dict(re.findall(r"(AIO_\w+)=(\S+)", runtime))


def settings(manifests, secrets, program):
    """What the program says of each role's settings."""
    for role in ROLES:
        spec = manifests.of("Deployment")[role]["spec"]["template"]["spec"]
        env = variables(manifests, spec["containers"][0])
        with tempfile.TemporaryDirectory() as directory:
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            for mount in spec["containers"][0]["volumeMounts"]:
                volume, place = volumes[mount["name"]], pathlib.Path(directory + mount["mountPath"])
                place.mkdir()
                texts = {}
                if "secret" in volume:
                    texts = {name: base64.b64decode(text) for name, text in secrets.get(volume["secret"]["secretName"], {}).get("data", {}).items()}
                elif "configMap" in volume:
                    data = manifests.of("ConfigMap")[volume["configMap"]["name"]].get("data", {})
                    texts = {name: text.encode() for name, text in data.items()}
                for name, text in texts.items():
                    (place / name).write_bytes(text)
                env = {name: re.sub(rf"^{mount['mountPath']}/", f"{place}/", value) for name, value in env.items()}
            env = image() | env
            if any("STORAGE__S3" in name for name in env) and role == "media" and env["AIO_STORAGE__DIRECTORY"]:
                yield f"{role}: keeps files in a bucket, or in a directory, and not in both"
            # A bucket would be asked.
            env = {name: value for name, value in env.items() if "STORAGE__S3" not in name}
            said = subprocess.run([program, "config", "check"], env=env | {"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
        if said.returncode:
            yield f"{role}: {said.stderr.strip() or said.stdout.strip()}"


def main():
    manifests = Manifests(pathlib.Path(sys.argv[1]).read_text())
    secrets = Manifests(pathlib.Path(sys.argv[2]).read_text()).of("Secret")
    wrong = [*restricted(manifests), *complete(manifests), *network(manifests), *files(manifests, secrets)]
    if len(sys.argv) > 3:
        wrong += settings(manifests, secrets, sys.argv[3])
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(manifests.all)} manifests of {pathlib.Path(sys.argv[1]).stem} hold together")


main()
