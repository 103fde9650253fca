class HealthController < ApplicationController
  def up
    Note.connection.select_value("SELECT 1")
    head :ok
  end

  # Ready is who has a model that tells texts apart, and a vector of that model for nearly every note: the jobs of a new
  # version make those before it has traffic. What is written in the meantime is brought over by whoever searches first.
  def model_ready
    model, (first, second, third) = ModelServer.embed(["my cat sleeps on the sofa", "a kitten naps upon some couch", "quarterly tax report"])
    missing = Embedding.missing(model).count
    state = { model: model, dimensions: first.size, alike: Search.cosine(first, second), unlike: Search.cosine(first, third), missing: missing }
    render json: state, status: missing <= 20 ? :ok : :service_unavailable
  end
end
