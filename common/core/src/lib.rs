//! The rules of Cutover, and nothing else: what a deployment is, which facts may follow which, what is due, how it ends,
//! what the deploy file says, and what a migration declares. No I/O, no clock, no runtime: time comes in as a value, effects go out as values.

mod accessory;
mod bus_access;
mod bytes;
mod canary;
mod canary_record;
mod certificate_note;
mod container;
mod decision;
mod declaration;
mod deploy_file;
mod deploy_window;
mod deployment;
mod digest;
mod effect;
mod ejection;
mod ended;
mod epoch;
mod fact;
mod health_check;
mod hooks;
mod host_key;
mod host_spec;
mod image_tag;
mod journal;
mod judges;
mod kept;
mod lease;
mod migrations;
mod model;
mod name;
mod needed;
mod obligation;
mod orders;
mod pacing;
mod pattern;
mod plan;
mod port;
mod probe;
mod rails;
mod recipe;
mod reference;
mod refused;
mod rehearsal;
mod release;
mod repository;
mod request;
mod resources;
mod role;
mod routing;
mod schema;
mod sealed;
mod service;
mod sidecar;
mod stage;
mod synthetic;
mod task;
mod task_state;
mod time;
mod tls;
mod warning;
mod watch_note;

pub use accessory::{Accessory, PlacedFile, PublishedPort};
pub use bus_access::{
    BusUser, LEASE_STREAM, LOG_STREAM, OUTPUT_STREAM, Permissions, REQUESTS_CONSUMER, TIMER_STREAM,
    TRIGGER_STREAM, UnknownBusUser, WAKE_CONSUMER, accounts, is_within,
};
pub use bytes::{Bytes, InvalidSize};
pub use canary::{Canary, CanaryStep, Choice, Hold, Promotion};
pub use canary_record::{Attempt, CanaryRecord, Part};
pub use certificate_note::{CertificateNote, ShownCertificate};
pub use container::{Container, Logging, Volume};
pub use decision::Decision;
pub use declaration::{Change, Column, Declaration, InvalidDeclaration, Operation};
pub use deploy_file::{
    DeployFile, DeployFileError, GitRepository, ImageSource, MigrationSource, ModelSource, Place, Problem,
    Target, WantedModel,
};
/// What a deploy file is read from, for whoever brings one that was written in another dialect.
pub mod tree {
    pub use crate::deploy_file::{
        Entry, FileError, Form, Node, Problem, Problems, Section, Value, nearest, parse, read_file, scalar,
    };
}
pub use deploy_window::{DeployWindow, InvalidDeployWindow};
pub use deployment::{Abort, Cause, Deployment, Due, Outcome, Permission};
pub use digest::{Digest, InvalidDigest};
pub use effect::{Effect, Work};
pub use ejection::Ejection;
pub use ended::Ended;
pub use epoch::{Epoch, JournalId};
pub use fact::{Claim, Evidence, Fact, FactKind, Failure, Output, Progress, Replica};
pub use health_check::HealthCheck;
pub use hooks::{Hook, Hooks};
pub use host_key::{HostKey, InvalidHostKey};
pub use host_spec::{HostSpec, InvalidHostUrl};
pub use image_tag::with_tag;
pub use journal::{DecodeError, Entry, Event, STREAM_SUBJECTS, Subject, UnknownSubject};
pub use judges::{Judges, Login, MetricsServer, Names, UnknownPlaceholder, Webhook};
pub use kept::{KeptRelease, ReplicaSet};
pub use lease::{Duty, Lease, LeaseRecord, LeaseStep, LeaseTerms};
pub use migrations::{
    ContractTerms, Engine, MigrationFile, Override, Phase, UnknownEngine, UnknownVia, UnknownWhen, Via, When,
};
pub use model::Model;
pub use name::{
    AccessoryName, CommitId, DeploymentId, DestinationName, EventId, HostName, InvalidName, ModelName,
    ReleaseId, RoleName, ServiceName, SidecarName, SourceName,
};
pub use needed::Needed;
pub use obligation::Obligation;
pub use orders::{FailedOrder, IssuedOrder, Orders};
pub use pacing::{BackfillTerms, LockTerms};
pub use pattern::Pattern;
pub use plan::{Intent, InvalidPlan, PROTOCOL, Plan, ServiceKey};
pub use port::Port;
pub use probe::{
    Body, Check, GrpcCheck, HttpCheck, InferenceSpec, InvalidPredicate, InvalidStatusSet, Latencies, Method,
    Predicate, ProbeSpec, Probes, StatusSet, TooSlow, Unmet,
};
pub use rails::Rails;
pub use recipe::{InvalidSshKeys, Recipe, RegistryLogin, SshKeys, origin};
pub use reference::{
    AwsSecret, AwsVersion, Flaw, InvalidReference, NeededSecret, Reference, Sighting, VaultSecret,
};
pub use refused::{Illegal, Refused};
pub use rehearsal::{Hazard, HeldLock, RehearsalTerms, Rehearsed};
pub use release::{BuildContext, GitSource, PrivateImage, Release, Settings, Soak, Source, Timeouts};
pub use repository::Repository;
pub use request::{
    Answer, Answered, InvalidRequest, Newest, Occasion, QueuePolicy, Ref, Request, Turn, UnknownQueuePolicy,
};
pub use resources::{Gpus, Resources, Ulimit};
pub use role::Role;
pub use routing::{ApplicationProtocol, Routing};
pub use schema::{Contract, Schema, Wait};
pub use sealed::{Sealed, SealedValue};
pub use service::Service;
pub use sidecar::{BuiltImage, Generation, Per, Sidecar, SidecarImages};
pub use stage::{Program, Stage, UnknownStage};
pub use synthetic::Synthetic;
pub use task::Task;
pub use task_state::{Applied, IllegalFact, Status, TaskState};
pub use time::{InvalidSpan, Span, Timestamp};
pub use tls::{Acme, CertificateSource, LETS_ENCRYPT, Proof, Tls};
pub use warning::Warning;
pub use watch_note::{Restarted, WatchNote};
