"""Checks a pod template against the rules of the pod security profile `restricted`.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ lists the rules. The Windows rules are included,
because admission applies them regardless of the node. This project adds two rules: the user must be explicit, because
an image may change its user, and the root filesystem must be read-only.
"""

from collections.abc import Iterator
from typing import Any

from k8s.check.pods import Pod

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
CONTAINER_TYPES = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")
"""Allowed SELinux types."""
_CONFINED = ("RuntimeDefault", "Localhost")
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_HOOKS = (
    ("startupProbe",),
    ("readinessProbe",),
    ("livenessProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)


def of_pod(pod: Pod) -> Iterator[str]:
    """Yield the problems of the pod as a whole."""
    spec = pod.spec
    for switch in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(switch):
            yield f"{switch} is not allowed"
    for volume in spec.get("volumes", []):
        kinds = volume.keys() - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds))} is not allowed"
    whole = spec.get("securityContext") or {}
    yield from _confined(whole)
    if whole.get("runAsNonRoot") is False:
        yield "securityContext.runAsNonRoot of the pod is false"
    if whole.get("runAsUser") == 0:
        yield "securityContext.runAsUser of the pod is root"
    if "seccompProfile" in whole and whole["seccompProfile"].get("type") not in _CONFINED:
        yield "securityContext.seccompProfile of the pod is not RuntimeDefault"
    for sysctl in whole.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"securityContext.sysctls: {sysctl['name']} is not allowed"
    for key, profile in pod.annotations.items():
        if key.startswith(_APP_ARMOR) and profile != "runtime/default" and not profile.startswith("localhost/"):
            yield f"the annotation {key} is {profile}, which is not an AppArmor profile"


def of_container(pod: Pod, container: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of one container, including problems in fields that it inherits from the pod."""
    whole, own = pod.spec.get("securityContext") or {}, container.get("securityContext") or {}
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield "securityContext.privileged is not allowed"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "securityContext.capabilities do not drop ALL"
    if not own.get("runAsNonRoot", whole.get("runAsNonRoot")):
        yield "securityContext.runAsNonRoot is not true"
    if own.get("runAsUser", whole.get("runAsUser")) in (None, 0):
        yield "securityContext.runAsUser is root or not set"
    profile = own.get("seccompProfile") or whole.get("seccompProfile") or {}
    if profile.get("type") not in _CONFINED:
        yield "securityContext.seccompProfile is not RuntimeDefault"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "securityContext.readOnlyRootFilesystem is not true"
    if own.get("procMount", "Default") != "Default":
        yield f"securityContext.procMount is {own['procMount']}, not Default"
    yield from _confined(own)
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "a hostPort is not allowed"
    for hook in _HOOKS:
        action: dict[str, Any] = container
        for part in hook:
            action = action.get(part) or {}
        if any((action.get(kind) or {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{'.'.join(hook)} uses a different host"


def _confined(context: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of the fields that pods and containers have in common."""
    labels = context.get("seLinuxOptions") or {}
    if labels.get("type", "") not in ("", *CONTAINER_TYPES):
        yield f"securityContext.seLinuxOptions: the type {labels['type']} is not a container type"
    if labels.get("user") or labels.get("role"):
        yield "securityContext.seLinuxOptions sets a user or a role"
    profile = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    if profile not in _CONFINED:
        yield f"securityContext.appArmorProfile is {profile}"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "securityContext.windowsOptions.hostProcess is not allowed"
