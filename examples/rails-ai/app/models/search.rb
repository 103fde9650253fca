# The notes that mean what somebody looks for, by the model that answers now.
class Search
  attr_reader :model

  # Of two vectors of length 1.
  def self.cosine(one, other)
    sum = 0.0
    one.each_with_index { |number, index| sum += number * other[index] }
    sum.round(4)
  end

  def initialize(query)
    @model, (@wanted, *) = ModelServer.embed([query])
    Embedding.bring_over(Embedding.missing(@model).to_a)
  end

  def hits(count)
    best = Embedding.where(model: @model).map { |row| [Search.cosine(@wanted, row.numbers), row.note_id] }.max(count)
    notes = Note.where(id: best.map(&:last)).index_by(&:id)
    best.map { |score, id| { **notes.fetch(id).shown, score: score } }
  end
end
