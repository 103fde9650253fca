//! The SSH agents that a build signs with: `RUN --mount=type=ssh`.

use std::sync::Arc;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use futures_util::StreamExt;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio_util::io::ReaderStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::buildkit::grants::Grants;

/// What BuildKit may call, as it must be announced.
pub(super) const METHODS: [&str; 2] =
    ["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"];

/// The header that names the agent (BuildKit's `sshforward.KeySSHID`).
const ID: &str = "buildkit.ssh.id";

/// The agent of a mount without an id (`sshforward.DefaultID`).
const DEFAULT: &str = "default";

/// Connects a build's steps with its agents. The steps see signatures, and never a key.
pub(super) struct SshAgents(pub(super) Arc<Grants>);

#[tonic::async_trait]
impl Ssh for SshAgents {
    type ForwardAgentStream = BoxStream<BytesMessage>;

    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        let id = request.into_inner().id;
        let id = if id.is_empty() { DEFAULT } else { &id };
        if self.0.has_agent(id) { Ok(Response::new(CheckAgentResponse {})) } else { Err(absent(id)) }
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<BoxStream<BytesMessage>>, Status> {
        let id = request.metadata().get(ID).and_then(|id| id.to_str().ok()).unwrap_or(DEFAULT).to_owned();
        let connected = self.0.connect(&id).await;
        let agent = connected
            .map_err(|error| Status::unavailable(format!("the SSH agent of the builder: {error}")))?
            .ok_or_else(|| absent(&id))?;
        let (answers, questions) = tokio::io::split(agent);
        tokio::spawn(ask(request.into_inner(), questions));
        let answers = ReaderStream::new(answers).map(|piece| match piece {
            Ok(piece) => Ok(BytesMessage { data: piece.into() }),
            Err(error) => Err(Status::from(error)),
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Hands a step's questions to the agent until the step is done, or the session.
async fn ask<S: tokio::io::AsyncWrite>(mut questions: Streaming<BytesMessage>, mut agent: WriteHalf<S>) {
    while let Ok(Some(message)) = questions.message().await {
        if agent.write_all(&message.data).await.is_err() {
            return;
        }
    }
    agent.shutdown().await.ok();
}

fn absent(id: &str) -> Status {
    Status::not_found(format!("SSH agent {id} is not in `builder.ssh` of the deploy file"))
}
