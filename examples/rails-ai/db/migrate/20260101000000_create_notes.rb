class CreateNotes < ActiveRecord::Migration[6.1]
  def change
    create_table :notes do |t|
      t.text :key, null: false, index: { unique: true }
      t.text :text, null: false
      t.timestamps
    end
    create_table :embeddings do |t|
      t.references :note, null: false, foreign_key: true, index: false
      t.text :model, null: false
      t.binary :vector, null: false
      t.index %i[note_id model], unique: true
    end
  end
end
