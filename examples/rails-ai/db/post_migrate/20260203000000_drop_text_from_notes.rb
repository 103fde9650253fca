# Contract: once no version is left that knows `text`.
class DropTextFromNotes < ActiveRecord::Migration[6.1]
  def up
    execute "DROP TRIGGER notes_write_both ON notes"
    execute "DROP FUNCTION notes_write_both()"
    remove_column :notes, :text
  end
end
