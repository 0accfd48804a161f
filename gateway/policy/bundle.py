"""A bundle: every file of a folder, valid each in itself and with the others, under one hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, TypeVar

from gateway.policy.problems import Problem
from gateway.policy.schema import (
    AlertsFile,
    CaseModel,
    ConnectionModel,
    DeploymentModel,
    PolicyFile,
    PoolModel,
    PriceModel,
    RateModel,
    RouteModel,
    RuleModel,
    TeamsFile,
    UnitFile,
    VendorModel,
)
from gateway.policy.source import Document, Key

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Generic[T]):
    """A value and where it is written."""

    value: T
    document: Document
    path: Key
    layer: UnitFile | None = None  # the layer that a rule stands in; None is the organisation's policy

    @property
    def at(self) -> str:
        """``file:line``."""
        return self.document.at(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The files of a folder. Made by :func:`gateway.policy.load.load_bundle` only.

    Hashes are SHA-256 over canonical content: comments, order of keys and layout do not count.
    ``warnings`` are what does not stop it.
    """

    policy: PolicyFile
    deployments: Mapping[str, DeploymentModel]
    connections: Mapping[str, ConnectionModel]
    routes: Mapping[str, RouteModel]
    teams: TeamsFile
    prices: tuple[Placed[PriceModel], ...]
    rates: tuple[Placed[RateModel], ...]
    tests: tuple[Placed[CaseModel], ...]
    documents: Mapping[str, Document]  # by kind of file: policy, deployments …
    rules: tuple[Placed[RuleModel], ...]  # of policy.yaml, then of its layers
    units: tuple[Placed[UnitFile], ...]
    vendors: Mapping[str, VendorModel]
    packs: Mapping[str, Placed[DeploymentModel]]  # entries of facts/*.yaml by name
    hash: str
    facts_hash: str
    prices_hash: str
    pools: Mapping[str, PoolModel] = field(default_factory=dict[str, PoolModel])
    alerts: AlertsFile = field(default_factory=AlertsFile)
    warnings: tuple[Problem, ...] = ()

    def at(self, kind: str, *path: str | int) -> str:
        """Return ``file:line`` of a path in a kind of file."""
        return self.documents[kind].at(path)

    def fact_at(self, deployment: str, fact: str) -> str:
        """Return ``file:line`` of a fact: of the pack's where the deployment takes it from there."""
        document = self.documents["deployments"]
        path: Key = ("deployments", deployment, fact)
        like = self.deployments[deployment].like
        if path in document.marks or like is None:
            return document.at(path)
        entry = self.packs[like]
        return entry.document.at((*entry.path, fact))

    def until(self, facts: DeploymentModel, paper: str) -> date | None:
        """Return the last day of a deployment's document; ``None``: the vendor file lacks it."""
        until = facts.has[paper]
        if isinstance(until, date):
            return until
        vendor = self.vendors.get(facts.vendor)
        on_file = vendor.documents.get(paper) if vendor is not None else None
        return on_file.until if on_file is not None else None

    @property
    def tenant(self) -> str:
        """The organisation's name."""
        return self.teams.org or self.policy.policy
