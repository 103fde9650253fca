# What a version of the model makes of a note. Each version has vectors of its own, so two of them serve side by side,
# and going back to the older one is no work but for what was written since.
class Embedding < ActiveRecord::Base
  belongs_to :note

  def self.missing(model)
    Note.where.not(id: where(model: model).select(:note_id))
  end

  # Makes the vectors of these notes. Who comes second changes nothing.
  def self.bring_over(notes)
    notes.each_slice(16) do |some|
      model, vectors = ModelServer.embed(some.map(&:content))
      rows = some.zip(vectors).map { |note, vector| { note_id: note.id, model: model, vector: vector.pack("e*") } }
      insert_all(rows, unique_by: %i[note_id model])
    end
  end

  def numbers
    vector.unpack("e*")
  end
end
