class IndexPeopleOnFullName < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def change
    add_index :people, :full_name, algorithm: :concurrently
  end
end
