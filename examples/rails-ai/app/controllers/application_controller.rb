class ApplicationController < ActionController::API
  before_action { response.set_header("X-Version", ENV["VERSION"]) }

  rescue_from(ActiveRecord::RecordNotFound) { render json: { error: "there is no such note" }, status: :not_found }
  rescue_from(ActionController::ParameterMissing, ActiveRecord::RecordInvalid) do |error|
    render json: { error: error.message }, status: :unprocessable_entity
  end
  rescue_from(ModelServer::Unavailable) { |error| render json: { error: error.message }, status: :service_unavailable }
end
