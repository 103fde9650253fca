class PeopleController < ActionController::API
  before_action { response.set_header("X-Version", ENV["VERSION"]) }

  # Writes a row and reads it back: what goes wrong with either is an error of the server.
  def show
    text = SecureRandom.hex(8)
    person = Person.find(Person.with_name(text).id)
    raise "row #{person.id} has '#{person.shown_name}', and not '#{text}'" unless person.shown_name == text

    render plain: text
  end

  def up
    Person.connection.select_value("SELECT 1")
    head :ok
  end
end
