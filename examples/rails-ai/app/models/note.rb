class Note < ActiveRecord::Base
  # No statement of this version names the column that db/post_migrate drops.
  self.ignored_columns = ["text"]

  has_many :embeddings

  def self.written(key, text)
    create_or_find_by!(key: key) { |note| note.content = text }
  end

  def content=(text)
    self.body = text
  end

  def content
    body
  end

  def shown
    { id: id, key: key, text: content }
  end
end
