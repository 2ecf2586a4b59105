"""Looks at docker-compose.yml for what no schema knows, and for what its two readers read in different ways: `compose.py RENDERED`, the
file as docker-compose 1.29 reads it, which must be one by the specification that Compose v2 goes by."""

import pathlib
import re
import sys

import compose_spec
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLES = {"edge": 8080, "dashboard": 8081, "chat": 9101, "media": 9102, "billing": 9103, "webhooks": 9104, "sandbox": 9105}
# Who calls whom, and so stops before whom.
CALLS = {"edge": {"chat", "media", "billing", "webhooks"}, "dashboard": {"chat", "media", "billing", "webhooks"}, "chat": {"media", "billing", "sandbox"}, "media": {"billing", "webhooks", "sandbox"}}


def main():
    text = (ROOT / "docker-compose.yml").read_text()
    services = yaml.safe_load(text)["services"]
    made = (ROOT / "deploy/compose/secrets.sh").read_text()
    wrong = []
    compose_spec.PyCompose.from_yaml(pathlib.Path(sys.argv[1]).read_text()).validate()
    # 1.29 does not look into the default of a variable for another one.
    wrong += [f"a variable within the default of another: {found}" for found in re.findall(r"\$\{[^}]*\$\{", text)]
    for name, service in services.items():
        for bound in ("mem_limit", "pids_limit"):
            if bound not in service:
                wrong.append(f"{name}: no {bound}")
        if "cpus" in service:
            wrong.append(f"{name}: cpus is refused on a machine with fewer")
        if not re.fullmatch(r"\$\{AIO_(?:[A-Z]+_)?IMAGE:-[^}]+\}", service["image"]):
            wrong.append(f"{name}: its image has no variable")
        for variable, value in (service.get("environment") or {}).items():
            file = re.match(r"/secrets/(\S+)", str(value))
            if file and not re.search(rf"\b{re.escape(file[1])}\b", made) and not re.search(rf"\b{re.escape(file[1].rsplit('_', 1)[0])}_\$", made):
                wrong.append(f"{name}: nobody makes the file of {variable}")
    for role, port in ROLES.items():
        service = services[role]
        if service["command"] != [role, "--listen", f"0.0.0.0:{port}"]:
            wrong.append(f"{role}: listens elsewhere than on {port}")
        for one in ("read_only", "cap_drop", "security_opt", "init", "healthcheck"):
            if not service.get(one):
                wrong.append(f"{role}: no {one}")
        late = {peer for peer in CALLS.get(role, set()) if service["depends_on"].get(peer, {}).get("condition") != "service_healthy"}
        if late:
            wrong.append(f"{role}: does not wait for {sorted(late)}")
        keys = [variable for variable in service["environment"] if variable.endswith("_API_KEY") and not variable.startswith("STRIPE")]
        if bool(keys) != (role in ("chat", "media")):
            wrong.append(f"{role}: the keys of providers are for chat and media")
    for open_port in [port for service in services.values() for port in service.get("ports", [])]:
        if not open_port.startswith("127.0.0.1:"):
            wrong.append(f"{open_port} is open to other machines")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(services)} services hold together")


main()
