# What the version before tolerates: it neither reads nor writes the new column.
class AddFullNameToPeople < ActiveRecord::Migration[6.1]
  def change
    add_column :people, :full_name, :text
    change_column_null :people, :name, true
  end
end
