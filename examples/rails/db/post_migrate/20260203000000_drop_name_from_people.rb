# What only the version that doesn't use the old column tolerates.
class DropNameFromPeople < ActiveRecord::Migration[6.1]
  def change
    remove_column :people, :name, :text
  end
end
