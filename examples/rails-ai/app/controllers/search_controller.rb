class SearchController < ApplicationController
  include ActionController::Live

  def index
    found = Search.new(params.require(:q))
    render json: { model: found.model, hits: found.hits(5) }
  end

  # Server-sent events: what the best note owes to each of its words, as the model comes to it.
  def explain
    query = params.require(:q)
    hit = Search.new(query).hits(1).first or raise ActiveRecord::RecordNotFound
    # Nobody waits for a connection to the database because of a stream.
    ActiveRecord::Base.connection_handler.clear_active_connections!
    response.set_header("Content-Type", "text/event-stream")
    response.set_header("Cache-Control", "no-cache")
    response.set_header("Last-Modified", Time.now.httpdate) # or Rack::ETag would wait for all of it
    ModelServer.explain(query, hit[:text], params[:seconds].to_f) { |line| response.stream.write("data: #{line}\n\n") }
  rescue ActionController::Live::ClientDisconnected
    nil
  ensure
    response.stream.close
  end
end
