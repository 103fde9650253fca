# Expand: the version before goes on writing `text` alone, and the next one writes `body` alone. Whichever is written, the
# other one gets it, too, until the contract.
class AddBodyToNotes < ActiveRecord::Migration[6.1]
  def up
    add_column :notes, :body, :text
    change_column_null :notes, :text, true
    execute <<~SQL
      CREATE FUNCTION notes_write_both() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        NEW.body := coalesce(NEW.body, NEW.text);
        NEW.text := coalesce(NEW.text, NEW.body);
        RETURN NEW;
      END $$
    SQL
    execute "CREATE TRIGGER notes_write_both BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION notes_write_both()"
  end
end
