"""Every origin that this process may send to, compiled from the snapshot and the declared sinks.

One list for all who ask: the allow-list of the children's proxy, ``borderpost egress`` and the
NetworkPolicy of a cluster. An origin that is not here is not sent to: attempts go to their
connection's origin, credentials to an endpoint that the connection names, telemetry and the
database to what the settings name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.core.snapshot import Snapshot

CREDENTIALS_URL = "credentials_url"
"""Option of a connection: where its credentials are fetched (STS, Entra, Google). Not fetched yet
by anything of ours; a child that fetches them is let through to this origin and no other."""

_PORTS = {"https": 443, "http": 80, "postgresql": 5432, "postgres": 5432, "smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Destination:
    """One origin and what it is for. ``place`` is where the facts or the settings say that it is."""

    host: str  # lower-case; a name or an address without brackets
    port: int
    scheme: str
    purpose: str  # attempt | credentials | engine_metrics | alert | billing | telemetry | database
    used_by: str  # the deployment, or the setting
    place: str = ""

    @property
    def origin(self) -> str:
        """``scheme://host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authority(self) -> str:
        """``host:port`` as a CONNECT request names it."""
        return self.origin.split("://", 1)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A destination that the settings declare, beside the policy's connections."""

    url: str
    purpose: str
    setting: str
    place: str = ""


def destinations(snapshot: Snapshot, sinks: Iterable[Sink] = ()) -> tuple[Destination, ...]:
    """Return every destination, ordered and without repeats. Raises ValueError on a URL that is none."""
    found: set[Destination] = set()
    for name, connection in snapshot.connections.items():
        deployment = snapshot.deployments.get(name)
        place = deployment.place if deployment is not None else ""
        found.add(_destination(connection.url, "attempt", name, place))
        credentials = connection.options.get(CREDENTIALS_URL)
        if credentials is not None:
            found.add(_destination(credentials, "credentials", name, ""))
    for pool in snapshot.pools.values():
        for replica in pool.replicas:
            if replica.metrics_url is not None:
                used_by = f"{pool.id}/{replica.name}"
                found.add(_destination(replica.metrics_url, "engine_metrics", used_by, pool.region))
    for receiver in snapshot.alerts.receivers.values():
        found.add(_destination(receiver.way.url, "alert", receiver.name, receiver.place))
    for vendor, billing in snapshot.billing.items():
        if billing.url:
            found.add(_destination(billing.url, "billing", f"bills of {vendor}", ""))
    for sink in sinks:
        found.add(_destination(sink.url, sink.purpose, sink.setting, sink.place))
    return tuple(sorted(found))


def _destination(url: str, purpose: str, used_by: str, place: str) -> Destination:
    parsed = urlsplit(url)
    scheme = parsed.scheme.partition("+")[0]
    port = parsed.port or _PORTS.get(scheme)
    if not parsed.hostname or port is None:
        raise ValueError(f"the url of `{used_by}` names no host; write https://host/path")
    return Destination(
        host=parsed.hostname.lower(), port=port, scheme=scheme, purpose=purpose, used_by=used_by, place=place
    )


def network_policy(
    found: Iterable[Destination],
    addresses: Mapping[str, tuple[str, ...]],
    *,
    name: str,
    labels: Mapping[str, str],
) -> dict[str, object]:
    """Return a Kubernetes NetworkPolicy that lets pods with these labels reach the list and a resolver.

    A NetworkPolicy knows addresses, not names: ``addresses`` maps a host to its networks (CIDR).
    A host without any gets no rule, so that what is unknown stays closed.
    """
    rules: list[dict[str, object]] = []
    for destination in found:
        networks = addresses.get(destination.host) or _own_network(destination.host)
        if networks:
            rules.append(
                {
                    "to": [{"ipBlock": {"cidr": network}} for network in networks],
                    "ports": [{"protocol": "TCP", "port": destination.port}],
                }
            )
    rules.append(
        {
            "to": [
                {
                    "namespaceSelector": {},
                    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                }
            ],
            "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
        }
    )
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": dict(labels)},
            "policyTypes": ["Egress"],
            "egress": [rule for i, rule in enumerate(rules) if rule not in rules[:i]],
        },
    }


def without_rule(found: Iterable[Destination], addresses: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the hosts for which a NetworkPolicy would hold no rule, since no address is known."""
    return tuple(sorted({d.host for d in found if not (addresses.get(d.host) or _own_network(d.host))}))


def _own_network(host: str) -> tuple[str, ...]:
    """Return the network of a host that is written as an address."""
    if host.replace(".", "").isdigit() and host.count(".") == 3:
        return (f"{host}/32",)
    return (f"{host}/128",) if ":" in host else ()
