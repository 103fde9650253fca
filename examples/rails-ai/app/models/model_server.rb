require "net/http"

# The sidecar, which is reached by its name, and is always the one that this version wants.
module ModelServer
  Unavailable = Class.new(StandardError)
  HOST, PORT = ENV.fetch("MODEL_SERVER", "embedder:8080").split(":")
  FAILURES = [SystemCallError, SocketError, IOError, Net::OpenTimeout, Net::ReadTimeout, Net::ProtocolError].freeze

  # The model's version, and a vector for each text.
  def self.embed(texts)
    answer = nil
    ask("/embed", { texts: texts }) { |response| answer = JSON.parse(response.read_body) }
    [answer.fetch("model"), answer.fetch("vectors")]
  end

  # Yields each line as it comes.
  def self.explain(query, text, seconds)
    rest = +""
    ask("/explain", { query: query, text: text, seconds: seconds }) do |response|
      response.read_body do |part|
        rest << part
        while (line = rest.slice!(/\A[^\n]*\n/))
          yield line.chomp
        end
      end
    end
  end

  def self.ask(path, content)
    Net::HTTP.start(HOST, PORT.to_i, open_timeout: 2, read_timeout: 20) do |http|
      request = Net::HTTP::Post.new(path, "Content-Type" => "application/json")
      request.body = content.to_json
      http.request(request) do |response|
        raise Unavailable, "the model server answers #{response.code}" unless response.is_a?(Net::HTTPOK)

        yield response
      end
    end
  rescue *FAILURES => error
    raise Unavailable, "the model server at #{HOST}:#{PORT}: #{error.message}"
  end
  private_class_method :ask
end
